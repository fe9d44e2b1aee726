"""``PUT /models/{name}`` as clients see it: the rows of the reference in TorchServe's dialect."""

from __future__ import annotations

from modelserver.testing.providers import make_job
from tests.harness.management import LOAD_FAILURE
from tests.harness.management_api import IN_PROGRESS, ApiCase


class ScaleTests(ApiCase):
    """PUT /models/{name}[/{version}]."""

    def test_success(self) -> None:
        self.two_versions()
        rows = [
            ("/models/noop", 202, IN_PROGRESS),
            ("/models/noop?synchronous=true", 200, "Workers scaled to 1 for model: noop"),
            ("/models/noop?min_worker=3&synchronous=true", 200, "Workers scaled to 3 for model: noop"),
            (
                "/models/noop/1.0?min_worker=2&max_worker=2&synchronous=true",
                200,
                "Workers scaled to 2 for model: noop, version: 1.0",
            ),
            (
                "/models/noop?model_version=2.0&synchronous=true",
                200,
                "Workers scaled to 1 for model: noop, version: 2.0",
            ),
            ("/models/noop?min_worker=0&synchronous=true", 200, "Workers scaled to 0 for model: noop"),
            ("/models/noop?min_worker=nan", 202, IN_PROGRESS),
            ("/models/noop?min_worker=0&max_worker=0&batch_size=9", 202, IN_PROGRESS),
        ]
        for path, code, text in rows:
            with self.subTest(path=path):
                self.assertEqual(self.call("PUT", path).status, (code, text))

    def test_numbers(self) -> None:
        self.register()
        for query, count in (("min_worker=3", 3), ("min_worker=abc", 1), ("min_worker=1&max_worker=5", 1)):
            self.call("PUT", f"/models/noop?{query}&synchronous=true")
            self.assertEqual(len(self.workers), 3 if "5" in query else count, query)
            self.call("PUT", "/models/noop?min_worker=3&synchronous=true")

    def test_refusals_kill_nobody(self) -> None:
        self.register(initial_workers=2)
        text = "max_worker cannot be less than min_worker."
        rows: list[tuple[str, int, str, str | None]] = [
            ("/models/noop?min_worker=2&max_worker=1", 400, "BadRequestException", text),
            ("/models/other?min_worker=2&max_worker=1", 400, "BadRequestException", text),
            ("/models/noop?max_worker=0", 400, "BadRequestException", text),
            ("/models/noop?min_worker=-1", 400, "BadRequestException", None),
            ("/models/noop?min_worker=1000000", 400, "BadRequestException", None),
            ("/models/noop?number_gpu=-2", 400, "BadRequestException", None),
            ("/models/noop?timeout=-2", 400, "BadRequestException", None),
            ("/models/other", 404, "ModelNotFoundException", "Model not found: other"),
            (
                "/models/noop/9",
                404,
                "ModelVersionNotFoundException",
                "Model version: 9 does not exist for model: noop",
            ),
            (
                "/models/noop/set-default",
                404,
                "ModelVersionNotFoundException",
                "Model version: set-default does not exist for model: noop",
            ),
            ("/models/noop?model_version=9", 404, "ModelVersionNotFoundException", None),
        ]
        for path, code, kind, message in rows:
            with self.subTest(path=path):
                found = self.call("PUT", path).error
                self.assertEqual(found[:2], (code, kind))
                if message is not None:
                    self.assertEqual(found[2], message)
        self.assertEqual(len(self.workers), 2)

    def test_workers_that_do_not_start(self) -> None:
        self.register()
        for path, version in (("/models/noop", "null"), ("/models/noop/1.0", "1.0")):
            begun = self.begin("PUT", f"{path}?synchronous=true")
            self.workers[0].exit(LOAD_FAILURE)
            self.on.stage.turn()
            text = f"Failed to start workers for model noop version: {version}"
            self.assertEqual(self.finish(begun).error, (500, "InternalServerException", text))

    def test_a_part_of_the_workers(self) -> None:
        self.register(initial_workers=1)
        begun = self.begin("PUT", "/models/noop?min_worker=2&synchronous=true")
        self.workers[1].exit(LOAD_FAILURE)
        self.on.stage.turn()
        self.assertEqual(self.finish(begun).status, (206, "Workers scaling in progress..."))

    def test_timeout_is_the_time_to_drain(self) -> None:
        for timeout, seconds in (("0", 0), ("4", 4)):
            self.register(initial_workers=1)
            self.on.registry.get("noop").pool.put(make_job(b"a"))
            self.on.stage.turn()
            begun = self.begin("PUT", f"/models/noop?min_worker=0&synchronous=true&timeout={timeout}")
            self.on.stage.clock.advance(seconds)
            self.on.stage.turn()
            self.assertEqual(self.finish(begun).code, 200, timeout)
            self.call("DELETE", "/models/noop")
