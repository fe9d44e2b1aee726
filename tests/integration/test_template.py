"""Template workers of a real server: forked, equal to spawned ones, and spawned where forking is unsafe."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest

from modelserver.system.cpus import usable_processors
from tests.harness.server_process import LONGEST, ServerProcess, ServerTests, eventually, is_alive

pytestmark = pytest.mark.slow

TORCH = """
import json
import os
import torch

class Model:
    def initialize(self, context):
        generator = torch.Generator().manual_seed(7)
        self.weights = [torch.randn(64, 64, generator=generator) for _ in range(4)]
        self.by = os.getpid()

    def handle(self, data, context):
        rows = torch.tensor([json.loads(bytes(row["body"])) for row in data])
        for weight in self.weights:
            rows = torch.tanh(rows @ weight)
        return [row.numpy().tobytes() for row in rows]
"""
TOLD = """
import json
import os
import random
import threading
import time

torch = None


def blas_threads():
    # How many threads numpy's OpenBLAS has; None if it is another library.
    import ctypes
    with open("/proc/self/maps") as maps:
        paths = {line.split()[-1] for line in maps if "openblas" in line}
    names = [f"{lead}openblas_get_num_threads{end}" for lead in ("scipy_", "") for end in ("64_", "")]
    for path in paths:
        library = ctypes.CDLL(path)
        for name in names:
            if hasattr(library, name):
                return getattr(library, name)()


LOADED_BY = os.getpid()
# {hazard}

class Model:
    def initialize(self, context):
        self.initialized_by = os.getpid()
        # {late hazard}

    def handle(self, data, context):
        if bytes(data[0].get("body") or b"") == b"slowly":
            time.sleep(0.3)
        told = {
            "pid": os.getpid(),
            "imported": LOADED_BY,
            "initialized": self.initialized_by,
            "random": [random.random()],
            "omp": os.environ.get("OMP_NUM_THREADS"),
            "cwd": os.getcwd(),
        }
        if torch is not None:
            told["random"] += [float(numpy.random.random()), float(torch.rand(()))]
            told["threads"] = torch.get_num_threads()
            told["blas"] = blas_threads()
        return [json.dumps(told)] * len(data)
"""
TOLD_BY_TORCH = TOLD.replace("torch = None", "import numpy, torch")
HAZARDS = {
    "thread": (
        "threading.Thread(target=threading.Event().wait, daemon=True, name='waits').start()",
        "threads are alive (waits)",
    ),
    "socket": ("import socket; threading.kept = socket.socketpair()", "sockets are open"),
}
DIES_FIRST = """
FIRST = os.path.join(os.environ["TMPDIR"], "..", "first")
if not os.path.exists(FIRST):
    with open(FIRST, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
"""
BROKEN = """
import no_such_module_anywhere
"""
FAILS_LATE = """
class Model:
    def initialize(self, context):
        raise ValueError("bad weights")

    def handle(self, data, context):
        return data
"""


def told(server: ServerProcess, model: str) -> dict[str, object]:
    """What one worker of the model says about itself."""
    answer = server.predict(model)
    assert answer.status == 200, answer.text
    return dict(answer.json())


def parent_of(server: ServerProcess, pid: int) -> int:
    """The parent of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[1])


class TemplateTests(ServerTests):
    """Workers that share what their template has loaded."""

    def test_predictions_are_equal_to_those_of_spawned_workers(self) -> None:
        server = self.start(models={"torch": TORCH})
        ways = {
            "spawned": {"worker_start": "spawn"},
            "libraries": {"worker_start": "template"},
            "imports": {"worker_start": "template", "preload": "imports"},
            "model": {"worker_start": "template", "preload": "model"},
        }
        row = str([place / 64 for place in range(64)]).encode()
        answers = {}
        for name, wishes in ways.items():
            self.assert_ok(server.register("torch.mar", model_name=name, **wishes))
            answer = server.predict(name, row)
            self.assertEqual((200, 64 * 4), (answer.status, len(answer.body)))
            answers[name] = answer.body
        self.assertEqual({answers["spawned"]}, set(answers.values()))

    def test_one_template_imports_and_every_worker_draws_its_own_numbers(self) -> None:
        server = self.start(models={"told": TOLD_BY_TORCH})
        self.assert_ok(
            server.register("told.mar", worker_start="template", preload="imports", initial_workers=3)
        )
        seen: dict[object, dict[str, object]] = {}

        def ask_all() -> bool:
            for answer in server.predict_together("told", [b"slowly"] * 3):
                said = answer.json()
                seen.setdefault(said["pid"], said)
            return len(seen) == 3

        pids = set(server.pids("told"))
        eventually(ask_all)
        self.assertEqual(pids, set(seen))
        (imported,) = {said["imported"] for said in seen.values()}
        self.assertNotIn(imported, pids)
        self.assertEqual({imported}, {parent_of(server, pid) for pid in pids})
        for said in seen.values():
            self.assertEqual(said["pid"], said["initialized"])
        for place in range(3):
            drawn = {said["random"][place] for said in seen.values()}  # type: ignore[index]
            self.assertEqual(3, len(drawn))

    def test_preload_model_initializes_once(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(
            server.register("told.mar", worker_start="template", preload="model", initial_workers=2)
        )
        said = told(server, "told")
        self.assertEqual(said["imported"], said["initialized"])
        self.assertNotEqual(said["pid"], said["initialized"])

    def test_preload_model_by_model_config(self) -> None:
        server = self.start()
        config = server.folder / "config.yaml"
        config.write_text("preload: model\nworkerStart: template\n")
        self.add_model(server, "told", TOLD, config_file=str(config))
        self.assert_ok(server.register("told.mar"))
        said = told(server, "told")
        self.assertEqual(said["imported"], said["initialized"])

    def test_workers_get_the_servers_thread_settings_back(self) -> None:
        for wanted in (None, "3"):
            with self.subTest(wanted):
                environment = {} if wanted is None else {"OMP_NUM_THREADS": wanted}
                server = self.start(models={"told": TOLD_BY_TORCH}, environment=environment)
                self.assert_ok(server.register("told.mar", worker_start="template", model_name="forked"))
                forked, (worker,) = told(server, "forked"), server.workers("forked")
                self.assertEqual(worker["threads"], int(str(forked["omp"])))
                self.assert_ok(server.management("DELETE", "/models/forked"))
                self.assert_ok(server.register("told.mar", worker_start="spawn", model_name="spawned"))
                spawned = told(server, "spawned")
                self.assertEqual(spawned["omp"], forked["omp"])
                self.assertEqual(spawned["threads"], forked["threads"])
                self.assertEqual(spawned["blas"], forked["blas"])
                server.terminate()

    def test_workers_share_the_processors(self) -> None:
        server = self.start(models={"told": TOLD_BY_TORCH})
        count = usable_processors()
        wishes = {"worker_start": "template", "initial_workers": count}
        self.assert_ok(server.register("told.mar", **wishes))
        said = told(server, "told")
        self.assertEqual((said["omp"], said["threads"]), ("1", 1))
        self.assertEqual({worker["threads"] for worker in server.workers("told")}, {1})

    def test_later_worker_of_a_template_has_its_own_share(self) -> None:
        server = self.start(models={"told": TOLD_BY_TORCH})
        count = usable_processors()
        self.assert_ok(server.register("told.mar", worker_start="template"))
        self.assertEqual(told(server, "told")["omp"], str(count))
        self.assert_ok(server.scale("told", count + 1))
        first = server.pids("told")[0]
        self.kill_worker(first)
        eventually(lambda: server.ready("told") == count + 1 and first not in server.pids("told"))
        said = told(server, "told")
        self.assertEqual((said["omp"], said["threads"], said["blas"]), ("1", 1, 1))

    def test_hazards_at_import_leave_the_libraries(self) -> None:
        for name, (code, reason) in HAZARDS.items():
            with self.subTest(name):
                server = self.start(models={"told": TOLD.replace("# {hazard}", code)})
                wishes = {"worker_start": "template", "preload": "model", "initial_workers": 2}
                self.assert_ok(server.register("told.mar", **wishes))
                said = told(server, "told")
                self.assertEqual(said["pid"], said["imported"])
                (worker, *_) = server.pids("told")
                self.assertNotEqual(server.process.pid, parent_of(server, worker))
                lines = re.findall(r"cannot be forked with preload=(\w+): (.*); its workers", server.log)
                self.assertEqual([("model", reason)], lines)
                self.assert_ok(server.scale("told", 3))
                self.assertEqual(1, server.log.count("cannot be forked"))
                self.assertEqual(3, server.ready("told"))
                server.terminate()

    def test_hazards_of_the_model_leave_the_libraries(self) -> None:
        for name, (code, _) in HAZARDS.items():
            with self.subTest(name):
                server = self.start(models={"told": TOLD.replace("# {late hazard}", code)})
                wishes = {"worker_start": "template", "preload": "model", "initial_workers": 2}
                self.assert_ok(server.register("told.mar", **wishes))
                said = told(server, "told")
                self.assertEqual(said["pid"], said["imported"])
                self.assertEqual(said["pid"], said["initialized"])
                self.assertEqual(1, server.log.count("cannot be forked"), server.log)
                server.terminate()

    def test_killed_template_is_replaced_and_its_workers_go_on(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(server.register("told.mar", worker_start="template"))
        (worker,) = server.pids("told")
        template = parent_of(server, worker)
        self.kill_worker(template)
        eventually(lambda: not is_alive(template))
        self.assertEqual(worker, told(server, "told")["pid"])
        (successor,) = eventually(lambda: [pid for pid in server.children() if pid not in (worker, template)])
        self.assert_ok(server.scale("told", 2))
        self.assertEqual(1, sum(parent_of(server, pid) == successor for pid in server.pids("told")))
        # A worker whose template is gone is still watched.
        self.kill_worker(worker)
        eventually(lambda: worker not in server.pids("told") and server.ready("told") == 2)
        self.assertEqual(200, server.predict("told").status)

    def test_template_killed_while_nobody_lives_is_started_for_the_next_worker(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(server.register("told.mar", worker_start="template"))
        (worker,) = server.pids("told")
        template = parent_of(server, worker)
        for pid in (template, worker):
            self.kill_worker(pid)
        eventually(lambda: server.ready("told") == 1 and worker not in server.pids("told"))
        self.assertNotEqual(worker, told(server, "told")["pid"])

    def test_who_waits_for_a_template_that_dies_is_spawned(self) -> None:
        server = self.start(models={"told": TOLD.replace("# {hazard}", DIES_FIRST)})
        first = server.folder / "first"
        answers = []
        registering = threading.Thread(
            target=lambda: answers.append(
                server.register("told.mar", worker_start="template", preload="imports", initial_workers=2)
            )
        )
        registering.start()
        template = int(eventually(lambda: first.exists() and first.read_text()))
        self.kill_worker(template)
        registering.join(LONGEST)
        self.assert_ok(answers[0])
        self.assertEqual([server.process.pid] * 2, [parent_of(server, pid) for pid in server.pids("told")])
        self.assertEqual([0, 0], [worker.get("restarts", 0) for worker in server.workers("told")])
        self.assertEqual(200, server.predict("told").status)
        self.assert_ok(server.scale("told", 3))
        self.assertIn("READY", str(server.management("GET", "/models/told").json()[0]["template"]))

    def test_who_is_to_be_forked_by_a_template_that_dies_is_spawned(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(server.register("told.mar", worker_start="template"))
        template = parent_of(server, server.pids("told")[0])
        os.kill(template, signal.SIGSTOP)
        server.management("PUT", "/models/told?min_worker=2")
        self.kill_worker(template)
        eventually(lambda: server.ready("told") == 2)
        self.assertEqual([0, 0], [worker.get("restarts", 0) for worker in server.workers("told")])

    def test_scale_to_eight_and_back(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(server.register("told.mar", worker_start="template"))
        for count in (8, 1, 8, 0):
            self.assert_ok(server.scale("told", count))
            self.assertEqual(count, server.ready("told"))
        eventually(lambda: len(server.children()) <= 1)
        self.assert_ok(server.management("DELETE", "/models/told"))
        eventually(lambda: not server.children())

    def test_failures_in_the_template_and_after_the_fork_end_the_registration(self) -> None:
        server = self.start(models={"broken": BROKEN, "late": FAILS_LATE})
        for name, preload, reason in (
            ("broken", "libraries", "no_such_module_anywhere"),
            ("broken", "imports", "no_such_module_anywhere"),
            ("broken", "model", "no_such_module_anywhere"),
            ("late", "libraries", "bad weights"),
            ("late", "imports", "bad weights"),
            ("late", "model", "bad weights"),
        ):
            wishes = {"worker_start": "template", "preload": preload, "initial_workers": 2}
            answer = server.register(f"{name}.mar", **wishes)
            self.assertEqual(500, answer.status, answer.text)
            self.assertIn(reason, answer.text)
            self.assertNotIn("SystemExit", server.log)
            self.assertEqual(404, server.management("GET", f"/models/{name}").status)
            eventually(lambda: not server.children())

    def test_killed_forked_worker_is_back(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(server.register("told.mar", worker_start="template"))
        (worker,) = server.pids("told")
        parent = parent_of(server, worker)
        self.kill_worker(worker)
        eventually(lambda: server.pids("told") not in ([], [worker]))
        self.assertNotEqual(worker, told(server, "told")["pid"])
        self.assertIn("ended by SIGKILL", server.log)
        self.assertEqual(parent, parent_of(server, server.pids("told")[0]))

    def test_template_that_hangs_is_replaced(self) -> None:
        server = self.start(models={"told": TOLD})
        self.assert_ok(server.register("told.mar", worker_start="template", startup_timeout=5))
        template = parent_of(server, server.pids("told")[0])
        os.kill(template, signal.SIGSTOP)
        server.management("PUT", "/models/told?min_worker=2")
        eventually(lambda: server.ready("told") == 2)
        self.assertFalse(is_alive(template))
