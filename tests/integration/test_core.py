"""The core in a real server: registration, predictions, batches, crashes, and the end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from tests.harness.server_process import LONGEST, Answer, ServerProcess, ServerTests, eventually, is_alive

ECHO = """
def handle(data, context):
    if data is None:
        return None
    return [row.get("data") or row.get("body") for row in data]
"""
SIZES = """
import json
import time

calls = []

def handle(data, context):
    if data is None:
        return None
    calls.append((len(data), time.monotonic()))
    return [json.dumps({"size": len(data), "at": time.monotonic(), "calls": len(calls)}) for row in data]
"""
SLOW = """
import os
import time

def handle(data, context):
    if data is None:
        return None
    order, _, note = bytes(data[0].get("body") or b"").decode().partition(" ")
    if note:
        with open(note, "w") as file:
            file.write(str(os.getpid()))
    while order == "hang":
        time.sleep(1)
    if order == "die":
        os.kill(os.getpid(), 9)
    return [str(os.getpid())] * len(data)
"""
BROKEN = """
class Handler:
    def initialize(self, context):
        raise RuntimeError("no weights today")

    def handle(self, data, context):
        return data
"""


class BatchTests(ServerTests):
    """What reaches a handler together."""

    def test_full_batch_leaves_at_once(self) -> None:
        server = self.start(models={"sizes": SIZES})
        self.assert_ok(server.register("sizes.mar", batch_size=8, max_batch_delay=60_000))
        eight = [answer.json() for answer in server.predict_together("sizes", [b"x"] * 8)]
        self.assertEqual([8] * 8, [reply["size"] for reply in eight])
        self.assertEqual([1] * 8, [reply["calls"] for reply in eight])

    def test_partial_batch_leaves_after_the_delay_and_not_before(self) -> None:
        server = self.start(models={"sizes": SIZES})
        self.assert_ok(server.register("sizes.mar", batch_size=8, max_batch_delay=2_000))
        begun = time.monotonic()
        three = [answer.json() for answer in server.predict_together("sizes", [b"x"] * 3)]
        self.assertEqual([3] * 3, [reply["size"] for reply in three])
        # The system's monotonic clock is one for all processes.
        self.assertGreaterEqual(three[0]["at"] - begun, 2.0)

    def test_partial_batch_is_filled_by_later_requests(self) -> None:
        server = self.start(models={"sizes": SIZES})
        self.assert_ok(server.register("sizes.mar", batch_size=8, max_batch_delay=60_000))
        early: list[Answer] = []
        asking = in_thread(lambda: early.extend(server.predict_together("sizes", [b"x"] * 3)))
        eventually(lambda: waiting_in(server, "sizes") == 3)
        late = server.predict_together("sizes", [b"x"] * 5)
        asking.join(LONGEST)
        self.assertEqual([8] * 8, [answer.json()["size"] for answer in early + late])


def waiting_in(server: ServerProcess, model: str) -> int:
    """How many requests wait for a model."""
    described = server.management("GET", f"/models/{model}").json()
    return int(described[0]["jobQueueStatus"]["pendingRequests"])


def in_thread(act: Callable[[], object]) -> threading.Thread:
    """Do it at the same time."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


class CrashTests(ServerTests):
    """Workers that die, hang, or cannot load."""

    def test_request_of_a_killed_worker_is_answered_by_its_successor(self) -> None:
        server = self.start(models={"slow": SLOW})
        self.assert_ok(server.register("slow.mar"))
        answers: list[Answer] = []
        notes = [server.folder / "first", server.folder / "second"]
        asking = in_thread(lambda: answers.append(server.predict("slow", f"hang {notes[0]}".encode())))
        first = int(eventually(lambda: read(notes[0])))
        notes[0].unlink()
        self.kill_worker(first)
        second = int(eventually(lambda: read(notes[0])))
        self.assertNotEqual(first, second)
        self.assertEqual([], answers)
        killed = time.monotonic()
        self.kill_worker(second)
        asking.join(LONGEST)
        (answer,) = answers
        self.assertEqual(500, answer.status)
        self.assertIn("Worker died", answer.text)
        self.assertIn("SIGKILL", answer.text)
        self.assertLess(time.monotonic() - killed, LONGEST / 2)
        self.assertEqual(200, server.predict("slow").status)

    def test_request_that_kills_its_workers_is_answered_and_others_are_served(self) -> None:
        server = self.start(models={"slow": SLOW})
        self.assert_ok(server.register("slow.mar"))
        answer = server.predict("slow", b"die")
        self.assertEqual(500, answer.status, answer.text)
        self.assertIn("SIGKILL", answer.text)
        self.assertEqual(200, server.predict("slow").status)

    def test_handler_that_never_returns_is_replaced(self) -> None:
        server = self.start(models={"slow": SLOW})
        self.assert_ok(server.register("slow.mar", response_timeout=2))
        (first,) = server.pids("slow")
        answer = server.predict("slow", b"hang")
        self.assertEqual(500, answer.status, answer.text)
        self.assertIn("response timeout", answer.text)
        self.assertNotEqual(str(first), server.predict("slow").text)
        self.assertFalse(is_alive(first))

    def test_failed_registration_leaves_nothing(self) -> None:
        for start in ("spawn", "template"):
            with self.subTest(start):
                server = self.start(models={"broken": BROKEN})
                files = sorted(server.temporary.rglob("*"))
                answer = server.register("broken.mar", worker_start=start)
                self.assertEqual(500, answer.status, answer.text)
                self.assertIn("no weights today", answer.text)
                self.assertEqual(404, server.management("GET", "/models/broken").status)
                eventually(lambda server=server: not server.children())  # type: ignore[misc]  # it has defaults
                self.assertEqual(files, sorted(server.temporary.rglob("*")))

    def test_version_that_cannot_load_leaves_the_other_as_it_is(self) -> None:
        server = self.start(models={"echo": ECHO})
        self.assert_ok(server.register("echo.mar"))
        self.add_model(server, "echo", BROKEN, version="2.0")
        self.assertEqual(500, server.register("echo.mar").status)
        self.assertEqual(b"still", server.predict("echo", b"still").body)
        versions = server.management("GET", "/models/echo/all").json()
        self.assertEqual(["1.0"], [version["modelVersion"] for version in versions])


def read(path: Path) -> str:
    """What a handler has noted so far."""
    return path.read_text() if path.exists() else ""


class EndTests(ServerTests):
    """What is left when a server ends."""

    def test_sigterm_ends_workers_and_removes_files(self) -> None:
        for start in ("spawn", "template"):
            with self.subTest(start):
                server = self.start(models={"echo": ECHO})
                self.assert_ok(server.register("echo.mar", initial_workers=2, worker_start=start))
                left = server.children()
                self.assertGreaterEqual(len(left), 2)
                # twistd tells its parent by which signal it ended.
                self.assertEqual(-signal.SIGTERM, server.terminate(), server.log)
                self.assertEqual([], [pid for pid in left if is_alive(pid)])
                self.assertEqual([], list(server.temporary.iterdir()))

    def test_workers_and_templates_end_when_the_server_is_killed(self) -> None:
        for start in ("spawn", "template"):
            with self.subTest(start):
                server = self.start(models={"slow": SLOW})
                self.assert_ok(server.register("slow.mar", initial_workers=2, worker_start=start))
                left = server.children()
                note = server.folder / "note"
                asking = in_thread(lambda server=server, note=note: ask_in_vain(server, note))  # type: ignore[misc]  # it has defaults
                eventually(lambda note=note: read(note))  # type: ignore[misc]  # it has defaults
                server.kill()
                asking.join(LONGEST)
                eventually(lambda left=left: not [pid for pid in left if is_alive(pid)])  # type: ignore[misc]  # it has defaults


def ask_in_vain(server: ServerProcess, note: Path) -> None:
    """Have a request in hand when the server goes."""
    with suppress(OSError, HTTPException):
        server.predict("slow", f"hang {note}".encode())
