"""
Rows of the management reference that are about archives, devices and places, in both dialects.

``test_management_rest`` has the others, and names what is meant to be better than in the peers. So is this: a
synchronous registration has all its workers or nothing is left, so that there is no partial success of one
(206, 210); and a version that an archive leaves open is 1.0 in both dialects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import evolve

from modelserver.errors import DownloadFailed
from modelserver.management.service import Management
from modelserver.management.version_spec import VersionDefaults
from tests.harness.management_api import NO_WORKERS, ApiCase

INVALID = "InvalidModelException"
UNREADABLE = "Failed to parse signature.json."
MANIFESTS: tuple[tuple[str, object, str, str], ...] = (
    ("no JSON", "{", UNREADABLE, UNREADABLE),
    (
        "no model",
        {"model": None},
        "Missing Model entry in manifest file.",
        "Missing Model entry in manifest file.",
    ),
    (
        "no name",
        {"model": {"modelName": "", "handler": "handler.py:handle"}},
        "Model name is not defined.",
        "Model name is not defined.",
    ),
    (
        "no runtime",
        {"runtime": "ruby", "model": {"modelName": "m", "handler": "handler.py:handle"}},
        "Runtime is not defined or invalid.",
        "Runtime is not defined or invalid.",
    ),
    (
        "no handler",
        {"model": {"modelName": "m"}},
        "Model handler is not defined.",
        "Model handler is not defined.",
    ),
    (
        "no engine's name",
        {"engine": {}, "model": {"modelName": "m", "handler": "handler.py:handle"}},
        "",
        "engineName is required in <engine>.",
    ),
)


class Rows(ApiCase):
    """Rows that both dialects have; mixed into a class for each."""

    store_text: str
    registered: str

    def add_manifest(self, file: str, manifest: object) -> None:
        """Put a model folder with this manifest into the store."""
        self.on.add_model(file)
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        (self.on.store / file / "MAR-INF" / "MANIFEST.json").write_text(text)

    def rows_of_manifests(self, column: int) -> None:
        """Each manifest is refused with its text; an empty one means that it is good."""
        for number, row in enumerate(MANIFESTS):
            name, manifest, text = row[0], row[1], str(row[column])
            with self.subTest(name):
                self.add_manifest(f"m{number}", manifest)
                got = self.call("POST", f"/models?url=m{number}")
                if not text:
                    self.assertEqual(got.code, 200)
                    self.call("DELETE", "/models/m")
                    continue
                self.assertEqual(got.error[:2], (400, INVALID))
                self.assertTrue(got.error[2].startswith(text), got.error[2])
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def rows_of_places(self, *more: str) -> None:
        """Only the last component of a URL counts."""
        for url in ("noop.mar", "sub/dir/noop.mar", "noop.mar/", f"file://{self.on.store}/noop.mar", *more):
            with self.subTest(url):
                self.assertEqual(self.register(url).status, (200, self.registered))
                self.assertEqual(self.call("GET", "/models").body["models"][0]["modelUrl"], url)
                self.call("DELETE", "/models/noop")

    def wrap(self) -> str:
        """A folder of the store that holds a model's folder and nothing else."""
        (self.on.store / "wrapping").mkdir()
        self.on.add_model("inner", "noop")
        (self.on.store / "inner").rename(self.on.store / "wrapping" / "inner")
        return "wrapping"

    def rows_of_refused_places(self) -> None:
        """Nothing outside the store is served."""
        outside = self.on.folder / "outside"
        (self.on.store / "noop.mar").rename(outside)
        for url in (str(outside), f"file://{outside}", "%2e%2e/outside", "/etc", "/etc/passwd"):
            with self.subTest(url):
                self.assertEqual(
                    self.call("POST", f"/models?url={url}").error[:2], (404, "ModelNotFoundException")
                )
        self.on.management.preparer = evolve(
            self.on.management.preparer,
            sources=evolve(self.on.management.preparer.sources, store=None),
        )
        for url in ("noop.mar", "../x", "http://a.example/x.mar", ""):
            self.assertEqual(
                self.call("POST", f"/models?url={url}").error,
                (404, "ModelNotFoundException", "Model store has not been configured."),
            )

    def rows_of_pages(self) -> None:
        """The list is the same in both dialects."""
        for name in ("b", "a", "C"):
            self.on.add_model(f"{name}.mar", name)
            self.register(f"{name}.mar")
        rows: Mapping[str, tuple[list[str], str | None]] = {
            "": (["C", "a", "b"], None),
            "?limit=2": (["C", "a"], "2"),
            "?limit=2&next_page_token=2": (["b"], None),
            "?limit=0": ([], None),
            "?limit=x&next_page_token=9": ([], None),
        }
        for query, (names, token) in rows.items():
            body = self.call("GET", f"/models{query}").body
            self.assertEqual([model["modelName"] for model in body["models"]], names, query)
            self.assertEqual(body.get("nextPageToken"), token, query)


class TorchServeRowTests(Rows):
    """TorchServe's."""

    registered = NO_WORKERS

    def test_manifests(self) -> None:
        self.rows_of_manifests(2)

    def test_places(self) -> None:
        self.rows_of_places(self.wrap())

    def test_refused_places(self) -> None:
        self.rows_of_refused_places()

    def test_pages(self) -> None:
        self.rows_of_pages()

    def test_no_version_is_1_0(self) -> None:
        self.add_manifest("open", {"model": {"modelName": "open", "handler": "handler.py:handle"}})
        self.assertIn('Model "open" Version: 1.0 registered', self.register("open").status[1])

    def test_no_manifest_takes_the_default_handler(self) -> None:
        (self.on.store / "bare").mkdir()
        (self.on.store / "bare" / "service.py").touch()
        self.use_defaults(VersionDefaults(handler="service:handle"))
        self.register("bare", model_name="bare")
        spec = self.on.registry.get("bare").spec
        self.assertEqual((spec.handler, spec.version, spec.runtime), ("service:handle", "1.0", "python"))

    def use_defaults(self, defaults: VersionDefaults) -> None:
        """Register with these defaults."""
        management: Management = self.on.management
        management.preparer = evolve(management.preparer, defaults=defaults)

    def test_default_workers(self) -> None:
        self.use_defaults(VersionDefaults(workers=2))
        self.assertEqual(
            self.register().status, (200, 'Model "noop" Version: 1.0 registered with 2 initial workers')
        )

    def test_more_devices_than_there_are(self) -> None:
        config = "parallelType: pp\nparallelLevel: 4\n"
        self.on.add_model("wide", config=config)
        self.use_defaults(VersionDefaults(number_of_gpu=2))
        self.assertEqual(
            self.call("POST", "/models?url=wide").error,
            (
                500,
                "WorkerInitializationException",
                "No enough gpu devices for model:wide parallelLevel:4",
            ),
        )
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_number_gpu(self) -> None:
        self.on.stage.devices.count = 2
        as_settings_say = -1
        rows = ((1, [True, False, False]), (0, [False] * 3), (3, [True] * 3), (as_settings_say, [True] * 3))
        for number, expected in rows:
            self.register()
            self.call("PUT", f"/models/noop?min_worker=3&number_gpu={number}&synchronous=true")
            (model,) = self.call("GET", "/models/noop").body
            self.assertEqual([worker["gpu"] for worker in model["workers"]], expected)
            self.assertEqual(model["deviceType"], "gpu" if number else "cpu")
            self.call("DELETE", "/models/noop")

    def test_opaque_versions(self) -> None:
        for version in ("1", "1.0", "01", "latest", "2.0-rc_1"):
            self.on.add_model(f"v{version}", "noop", version)
            self.register(f"v{version}")
            self.assertEqual(self.call("GET", f"/models/noop/{version}").body[0]["modelVersion"], version)
        self.assertEqual(self.call("GET", "/models/noop").body[0]["modelVersion"], "1")
        self.assertEqual(len(self.call("GET", "/models/noop/all").body), 5)


class MmsRowTests(Rows):
    """Multi Model Server's."""

    dialect = "mms"
    registered = 'Model "noop" registered'

    def test_manifests(self) -> None:
        self.rows_of_manifests(3)

    def test_places(self) -> None:
        self.rows_of_places()
        got = self.call("POST", f"/models?url={self.wrap()}")
        self.assertEqual(got.error[:3:2], (400, "Model name is not defined."))

    def test_refused_places(self) -> None:
        self.rows_of_refused_places()

    def test_pages(self) -> None:
        self.rows_of_pages()

    def test_refusals(self) -> None:
        self.register(initial_workers=1)
        bad = "BadRequestException"
        missing = (404, "ModelNotFoundException", "Model not found: other")
        relative = "Relative path is not allowed in url: ../x.mar"
        rows: list[tuple[str, str, int, str, str | None]] = [
            ("POST", "/models", 400, bad, "Parameter url is required."),
            ("POST", "/models?url=../x.mar", 404, "ModelNotFoundException", relative),
            ("POST", "/models?url=noop.mar&runtime=cobol", 400, bad, "Invalid RuntimeType value: cobol"),
            ("POST", "/models?url=noop.mar&batch_size=0", 400, bad, None),
            (
                "PUT",
                "/models/noop?min_worker=2&max_worker=1",
                400,
                bad,
                "max_worker cannot be less than min_worker.",
            ),
            ("PUT", "/models/noop?min_worker=-1", 400, bad, None),
            ("GET", "/models/other", *missing),
            ("PUT", "/models/other", *missing),
            ("DELETE", "/models/other", *missing),
        ]
        for method, path, code, kind, message in rows:
            with self.subTest(f"{method} {path}"):
                found = self.call(method, path).error
                self.assertEqual(found[:2], (code, kind))
                if message is not None:
                    self.assertEqual(found[2], message)
        self.assertEqual(len(self.workers), 1)

    def test_downloads(self) -> None:
        url = "http://a.example/x.mar"
        failed = f"Failed to download model from: {url}"
        rows = [
            (DownloadFailed(url, "refused"), failed),
            (DownloadFailed(url, "code: 404", status=404), f"{failed}, code: 404"),
            (DownloadFailed(url, "timeout", timed_out=True), f"Download model timeout: {url}"),
        ]
        for error, message in rows:
            self.on.downloads.failures[url] = error
            self.assertEqual(
                self.call("POST", f"/models?url={url}").error, (400, "DownloadModelException", message)
            )

    def test_what_torchserve_alone_takes_is_ignored(self) -> None:
        got = self.register(s3_sse_kms="true", startup_timeout=0, synchronous="TRUE", initial_workers=1)
        self.assertEqual(got.status, (200, "Workers scaled"))
        self.assertEqual(self.on.registry.get("noop").spec.timeouts.startup, 120.0)

    def test_json(self) -> None:
        got = self.call(
            "POST",
            "/models?url=other.mar",
            data=b'{"url": "noop.mar", "response_timeout": 2}',
            headers={"Content-Type": "application/json"},
        )
        self.assertEqual(got.status, (200, self.registered))
        self.assertEqual(self.on.registry.get("noop").spec.timeouts.response, 2.0)

    def test_conventions(self) -> None:
        for method, path, code, kind in (
            ("GET", "/x", 404, "ResourceNotFoundException"),
            ("PUT", "/models", 405, "MethodNotAllowedException"),
            ("GET", "/models/%00", 400, "BadRequestException"),
        ):
            got = self.call(method, path)
            self.assertEqual(got.error[:2], (code, kind))
            self.assertEqual(got.headers.getRawHeaders("pragma"), ["no-cache"])
        self.assertEqual(self.call("GET", "/models/").body, {"models": []})
