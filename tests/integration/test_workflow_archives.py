"""Archives of workflows with a real server: registered, loaded at the start, unregistered under load."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.harness.server_process import LONGEST, Answer, ServerProcess, ServerTests, eventually
from tests.harness.workflows import write_workflow

OPEN = {"disable_token_authorization": "true"}
UPPER = """
def handle(data, context):
    return None if data is None else [bytes(row.get("body") or row.get("data")).upper() for row in data]
"""
FUNCTIONS = """
import os


def pre(data, context):
    return None if data is None else [b"<" + bytes(data[0].get("body") or data[0].get("data"))]


def post(data, context):
    return None if data is None else [bytes(data[0]["body"]) + b">"]


def gather(data, context):
    return None if data is None else [b"+".join(bytes(data[0][name]) for name in sorted(data[0]))]


def gate(data, context):
    if data is None:
        return None
    folder = data[0]["body"].decode()
    open(os.path.join(folder, "begun"), "w").close()
    with open(os.path.join(folder, "gate")) as gate:
        gate.read()
    return [b"done"]


def fails(data, context):
    raise RuntimeError("not today")
"""
SEQUENTIAL = "models: {upper: {url: upper.mar}}\ndag: {pre: [upper], upper: [post]}\n"
PARALLEL = """
models:
    max-workers: 2
    left: {url: upper.mar}
    right: {model: upper}
dag: {pre: [left, right], left: [gather], right: [gather]}
"""


class WorkflowArchiveTests(ServerTests):
    """One server for each test, with one model."""

    def add_workflow(self, server: ServerProcess, name: str, spec: str = SEQUENTIAL) -> None:
        write_workflow(server.store / f"{name}.war", spec, name=name, functions=FUNCTIONS)

    def register(self, server: ServerProcess, url: str) -> Answer:
        return server.management("POST", f"/workflows?url={url}")

    def ask(self, server: ServerProcess, name: str, body: bytes = b"abc") -> Answer:
        return server.inference(
            "POST", f"/wfpredict/{name}", body, {"Content-Type": "application/octet-stream"}
        )

    def unpacked(self, server: ServerProcess) -> list[str]:
        """The folders of unpacked archives."""
        models = server.temporary / "models"
        return [path.name for path in models.iterdir() if path.is_dir()] if models.is_dir() else []

    def test_both_documented_shapes(self) -> None:
        server = self.start({**OPEN, "enable_model_api": "true"}, models={"upper": UPPER})
        self.add_workflow(server, "chain")
        self.add_workflow(server, "fan", PARALLEL)
        self.assert_ok(server.register("upper.mar"))
        for name in ("chain", "fan"):
            self.assert_ok(self.register(server, f"{name}.war"))
        self.assertEqual((200, "<ABC>"), (self.ask(server, "chain").status, self.ask(server, "chain").text))
        self.assertEqual("<ABC+<ABC", self.ask(server, "fan").text)
        self.assertEqual(1, len(server.workers("upper")))
        self.assertEqual(2, len(server.workers("fan__left")))
        self.assertEqual(409, server.management("DELETE", "/models/upper").status)
        for name in ("chain", "fan"):
            self.assert_ok(server.management("DELETE", f"/workflows/{name}"))
            self.assertEqual(404, self.ask(server, name).status)
        self.assertEqual(
            ["upper"], [each["modelName"] for each in server.management("GET", "/models").json()["models"]]
        )
        self.assert_ok(server.management("DELETE", "/models/upper"))
        self.assertEqual([], self.unpacked(server))

    def test_a_registration_that_fails_leaves_nothing(self) -> None:
        server = self.start(OPEN, models={"upper": UPPER})
        spec = "models: {upper: {url: upper.mar}}\ndag: {pre: [upper], upper: [fails]}\n"
        self.add_workflow(server, "w", spec)
        before = server.children()
        answer = self.register(server, "w.war")
        self.assertEqual((500, "WorkflowException"), (answer.status, answer.json()["type"]))
        self.assertEqual(("fails", "not today"), (answer.json()["node"], answer.json()["text"]))
        self.assertEqual([], server.management("GET", "/models").json()["models"])
        self.assertEqual([], server.management("GET", "/workflows").json()["workflows"])
        self.assertEqual([], self.unpacked(server))
        eventually(lambda: set(server.children()) <= set(before))

    def test_workflows_of_the_start(self) -> None:
        properties = {**OPEN, "load_workflows": "ALL", "workflow_store": "workflows"}
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        server = ServerProcess(Path(folder.name), properties)
        self.addCleanup(server.end)
        (server.folder / "workflows").mkdir()
        server.store.mkdir()
        self.add_model(server, "upper", UPPER)
        write_workflow(server.folder / "workflows" / "w.war", SEQUENTIAL, functions=FUNCTIONS)
        server.start()
        self.assertEqual("<ABC>", eventually(lambda: self.ask(server, "w")).text)
        self.assertEqual("w.war", server.management("GET", "/workflows/w").json()[0]["workflowUrl"])

    def test_runs_in_progress_are_finished_when_a_workflow_goes(self) -> None:
        server = self.start(OPEN)
        self.add_workflow(server, "w", "models: {}\ndag: {gate: [post]}\n")
        self.assert_ok(self.register(server, "w.war"))
        os.mkfifo(server.folder / "gate")
        answers: list[Answer] = []
        running = threading.Thread(
            target=lambda: answers.append(self.ask(server, "w", os.fsencode(server.folder)))
        )
        running.start()
        eventually((server.folder / "begun").exists)
        going = threading.Thread(target=lambda: answers.append(server.management("DELETE", "/workflows/w")))
        going.start()
        eventually(lambda: server.management("GET", "/workflows/w").status == 404)
        self.assertEqual(404, self.ask(server, "w").status)
        (server.folder / "gate").write_text("")
        for thread in (running, going):
            thread.join(LONGEST)
        self.assertEqual(["done>"], [answer.text for answer in answers if b"status" not in answer.body])
        self.assertEqual([200, 200], [answer.status for answer in answers])
        self.assertEqual([], self.unpacked(server))

    def test_archives_of_the_original_are_served(self) -> None:
        archiver = Path(os.environ.get("MODELSERVER_PEER_TS", "/nowhere"), "torch-workflow-archiver")
        if not archiver.is_file():
            self.skipTest("MODELSERVER_PEER_TS does not name a folder with torch-workflow-archiver")
        server = self.start(OPEN, models={"upper": UPPER})
        (server.folder / "spec.yaml").write_text(SEQUENTIAL)
        (server.folder / "functions.py").write_text(FUNCTIONS)
        words = ["--spec-file", "spec.yaml", "--handler", "functions.py", "--export-path", str(server.store)]
        subprocess.run(
            [archiver, "--workflow-name", "theirs", *words], cwd=server.folder, check=True, timeout=LONGEST
        )
        self.assert_ok(self.register(server, "theirs.war"))
        self.assertEqual("<ABC>", self.ask(server, "theirs").text)
