"""Management of real workers: what is asked of a handler, what waits when a model goes, one port for all."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness.server_process import HOST, LONGEST, Answer, ServerProcess, ServerTests, eventually

OPEN = {"enable_model_api": "true", "disable_token_authorization": "true"}
NOOP = "def handle(data, context):\n    return None if data is None else ['ok'] * len(data)\n"
DESCRIBED = """
from ts.torch_handler.base_handler import BaseHandler


class Described(BaseHandler):
    def initialize(self, context):
        self.context = context
        self.initialized = True

    def describe_handle(self):
        return {"classes": 10, "asked by": self.context.get_request_header(0, "X-Who"), "nan": float("nan")}

    def handle(self, data, context):
        if context.get_request_header(0, "describe") == "True":
            return [self.describe_handle()]
        return ["ok"] * len(data)
"""
SLOW = """
import os


def handle(data, context):
    if data is None:
        return None
    folder = data[0]["body"].decode()
    open(os.path.join(folder, "begun"), "w").close()
    with open(os.path.join(folder, "gate")) as gate:
        gate.read()
    return ["done"] * len(data)
"""
BLOCKS_ONCE = """
import os
import signal

marker = {marker!r}
if not os.path.exists(marker):
    open(marker, "w").close()
    signal.pause()


def handle(data, context):
    return None if data is None else ["ok"] * len(data)
"""


class CustomizedTests(ServerTests):
    """``customized=true``, answered by a handler in its own process."""

    def test_the_handlers_own_words(self) -> None:
        server = self.start(OPEN, models={"described": DESCRIBED})
        path = "/models/described?customized=true"
        self.assert_ok(server.register("described.mar", initial_workers=0))
        refused = server.management("GET", path)
        self.assertEqual(503, refused.status)
        self.assertEqual(
            'Model "described" has no worker to serve describe request. '
            "Please use scale workers API to add workers.",
            refused.json()["message"],
        )
        self.assert_ok(server.scale("described", 1))
        told = server.management("GET", path, headers={"X-Who": "me"})
        self.assert_ok(told)
        self.assertEqual({"classes": 10, "asked by": "me", "nan": None}, told.json()[0]["customizedMetadata"])
        self.assertEqual("ok", server.predict("described").text)

    def test_a_handler_that_describes_nothing(self) -> None:
        server = self.start(OPEN, models={"noop": NOOP})
        self.assert_ok(server.register("noop.mar"))
        told = server.management("GET", "/models/noop/1.0?customized=true")
        self.assertEqual((200, {}), (told.status, told.json()[0]["customizedMetadata"]))


class UnregisterTests(ServerTests):
    """What a worker has is finished, what waits is told, nothing stays."""

    def folder(self) -> Path:
        """A folder that the slow handler tells from, and a gate that it waits at."""
        made = TemporaryDirectory(prefix="modelserver-gate-")
        self.addCleanup(made.cleanup)
        os.mkfifo(Path(made.name) / "gate")
        return Path(made.name)

    def asked(self, server: ServerProcess, folder: Path) -> tuple[threading.Thread, list[Answer]]:
        """One prediction on its way."""
        answers: list[Answer] = []
        body = str(folder).encode()
        thread = threading.Thread(target=lambda: answers.append(server.predict("slow", body)))
        thread.start()
        return thread, answers

    def test_in_hand_is_finished_and_waiting_is_refused(self) -> None:
        server = self.start({**OPEN, "unregister_model_timeout": "60"}, models={"slow": SLOW})
        self.assert_ok(server.register("slow.mar"))
        folder = self.folder()
        first, in_hand = self.asked(server, folder)
        eventually((folder / "begun").exists)
        others = [self.asked(server, folder) for _ in range(3)]
        eventually(lambda: pending(server) == 3)
        gone: list[Answer] = []
        leaving = threading.Thread(target=lambda: gone.append(server.management("DELETE", "/models/slow")))
        leaving.start()
        for thread, answers in others:
            thread.join(LONGEST)
            self.assertEqual(503, answers[0].status)
            self.assertEqual(
                {
                    "code": 503,
                    "type": "ServiceUnavailableException",
                    "message": "Model 'slow' was unregistered while the request was waiting.",
                },
                answers[0].json(),
            )
        self.assertEqual([], gone)
        (folder / "gate").write_text("go")
        for thread in (first, leaving):
            thread.join(LONGEST)
        self.assertEqual([(200, "done")], [(answer.status, answer.text) for answer in in_hand])
        self.assertEqual([200], [answer.status for answer in gone])
        self.left_nothing(server)

    def test_a_worker_that_takes_too_long_is_ended(self) -> None:
        server = self.start({**OPEN, "unregister_model_timeout": "1"}, models={"slow": SLOW})
        self.assert_ok(server.register("slow.mar"))
        folder = self.folder()
        first, in_hand = self.asked(server, folder)
        eventually((folder / "begun").exists)
        self.assert_ok(server.management("DELETE", "/models/slow"))
        first.join(LONGEST)
        self.assertGreaterEqual(in_hand[0].status, 500)
        self.left_nothing(server)

    def left_nothing(self, server: ServerProcess) -> None:
        """No process, and no folder of the model."""
        eventually(lambda: not server.children())
        self.assertEqual([], list(server.temporary.glob("*/*")))


class TemplateTests(ServerTests):
    """Workers that come and go while their template still loads."""

    def test_who_comes_after_the_last_one_left_gets_a_template_of_its_own(self) -> None:
        made = TemporaryDirectory(prefix="modelserver-marker-")
        self.addCleanup(made.cleanup)
        marker = str(Path(made.name) / "marker")
        server = self.start(OPEN, models={"once": BLOCKS_ONCE.format(marker=marker)})
        answer = server.register("once.mar", synchronous="false")
        self.assertEqual(202, answer.status)
        eventually(Path(marker).exists)
        # In one piece, so that the second is read before the end of the first template is seen.
        with socket.create_connection((HOST, server.ports[1]), LONGEST) as connection:
            connection.sendall(
                put("/models/once?min_worker=0")
                + put("/models/once?min_worker=1&synchronous=true", "Connection: close")
            )
            told = b""
            while piece := connection.recv(65536):
                told += piece
        self.assertEqual([b"202", b"200"], [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]], told)
        self.assertEqual("ok", server.predict("once").text)


class SharedListenerTests(ServerTests):
    """One port for predictions, management and metrics."""

    def start_shared(self, **more: str) -> ServerProcess:
        """A server whose three addresses are one."""
        with socket.create_server((HOST, 0)) as bound:
            port = bound.getsockname()[1]
        names = ("inference_address", "management_address", "metrics_address")
        properties = {**OPEN, **dict.fromkeys(names, f"http://{HOST}:{port}"), **more}
        server = self.start(properties, models={"noop": NOOP})
        server.ports = [port] * 3
        return server

    def check(self, server: ServerProcess, rows: list[tuple[str, str, int]]) -> None:
        """Each call has its status, in order."""
        for method, path, status in rows:
            with self.subTest(f"{method} {path}"):
                answer = server.inference(method, path, b"x" if method == "POST" else None)
                self.assertEqual(status, answer.status, answer.text)

    def test_all_routes(self) -> None:
        server = self.start_shared()
        self.check(
            server,
            [
                ("POST", "/models?url=noop.mar&initial_workers=1", 200),
                ("GET", "/models", 200),
                ("GET", "/models/noop", 200),
                ("GET", "/models/noop/1.0", 200),
                ("GET", "/models/noop/all", 200),
                ("GET", "/models/noop/9", 404),
                ("PUT", "/models/noop/1.0?min_worker=1&synchronous=true", 200),
                ("PUT", "/models/noop/1.0/set-default", 200),
                ("OPTIONS", "/models/noop/1.0", 200),
                ("GET", "/ping", 200),
                ("POST", "/predictions/noop", 200),
                ("POST", "/predictions/noop/1.0", 200),
                ("OPTIONS", "/predictions/noop", 200),
                ("POST", "/invocations?model_name=noop", 200),
                ("POST", "/models/noop/invoke", 200),
                ("POST", "/v1/models/noop:predict", 200),
                ("GET", "/v1/models/noop", 200),
                ("GET", "/metrics", 200),
                ("OPTIONS", "/", 200),
                ("GET", "/nothing", 404),
                ("DELETE", "/models/noop/1.0", 200),
            ],
        )

    def test_its_description_has_the_routes_of_all(self) -> None:
        paths = self.start_shared().inference("GET", "/api-description").json()["paths"]
        for path in ("/models/{model_name}/{model_version}", "/predictions/{model_name}", "/metrics"):
            self.assertIn(path, paths)

    def test_mms(self) -> None:
        server = self.start_shared(dialect="mms")
        self.check(
            server,
            [
                ("POST", "/models?url=noop.mar&initial_workers=1", 200),
                ("GET", "/models/noop", 200),
                ("POST", "/models/noop/invoke", 200),
                ("POST", "/predictions/noop", 200),
                ("POST", "/invocations?model_name=noop", 200),
                ("GET", "/ping", 200),
                ("DELETE", "/models/noop", 200),
            ],
        )


def pending(server: ServerProcess) -> int:
    """How many requests wait for the slow model."""
    (version,) = server.management("GET", "/models/slow").json()
    return int(version["jobQueueStatus"]["pendingRequests"])


def put(path: str, *headers: str) -> bytes:
    """A request as it is sent."""
    lines = [f"PUT {path} HTTP/1.1", "Host: localhost", "Content-Length: 0", *headers, "", ""]
    return "\r\n".join(lines).encode()
