"""Each kind of blocking work has threads of its own: one that is stuck holds up no other."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import InternalError
from modelserver.interfaces import InThread
from modelserver.server.threads import ARCHIVES, FILES, SAMPLES, Threads

LONGEST = 60.0


class ThreadedReactor:
    """What pools ask of a reactor; the test runs what threads hand to it."""

    def __init__(self) -> None:
        self.results: queue.Queue[Callable[[], object]] = queue.Queue()
        self.at_end: list[Callable[[], object]] = []
        self.names = ThreadPool(0, 10)

    def getThreadPool(self) -> ThreadPool:
        """The pool in which Twisted resolves names."""
        return self.names

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        """It runs already."""
        call()

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], object]) -> None:
        """Keep what is to be done at the end."""
        self.at_end.append(call)

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        """Take a result."""
        self.results.put(partial(call, *arguments))

    def run_until(self, deferred: Deferred[Any]) -> None:
        """Take results until this one is there."""
        while not deferred.called:
            self.results.get(timeout=LONGEST)()


class ThreadsTests(SynchronousTestCase):
    """Pools whose work the test holds."""

    def setUp(self) -> None:
        self.reactor = ThreadedReactor()
        self.threads = Threads.of(self.reactor)  # type: ignore[arg-type]  # all that pools ask of it
        self.gate = threading.Event()
        self.addCleanup(self.end)

    def test_a_thread_that_the_system_refuses_is_told_with_its_limits(self) -> None:
        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        self.patch(threading.Thread, "start", refuse)
        error = self.failureResultOf(self.threads.files(int), InternalError).value
        self.assertIn("can't start new thread: the limit on processes", str(error))

    def end(self) -> None:
        self.gate.set()
        for call in self.reactor.at_end:
            call()

    def block(self, in_thread: InThread, count: int) -> list[Deferred[bool]]:
        return [in_thread(self.gate.wait, LONGEST) for _ in range(count)]

    def test_no_kind_waits_for_another(self) -> None:
        pools = {
            "archives": (self.threads.archives, ARCHIVES),
            "samples": (self.threads.samples, SAMPLES),
            "files": (self.threads.files, FILES),
        }
        for name, (pool, most) in pools.items():
            stuck = self.block(pool, most + 4)
            for other, (another, _) in pools.items():
                if other != name:
                    done = another(str.upper, "done")
                    self.reactor.run_until(done)
                    self.assertEqual(self.successResultOf(done), "DONE")
            self.gate.set()
            for each in stuck:
                self.reactor.run_until(each)
                self.assertTrue(self.successResultOf(each))
            self.gate.clear()

    def test_each_is_bounded(self) -> None:
        before = threading.active_count()
        stuck = self.block(self.threads.samples, SAMPLES + 20)
        self.assertLessEqual(threading.active_count() - before, SAMPLES)
        self.gate.set()
        for each in stuck:
            self.reactor.run_until(each)

    def test_the_end_does_not_wait_for_names(self) -> None:
        begun = threading.Event()

        def resolve() -> None:
            begun.set()
            self.gate.wait(LONGEST)

        self.reactor.names.start()
        self.reactor.names.callInThread(resolve)
        self.assertTrue(begun.wait(LONGEST))
        self.reactor.names.stop()  # would wait for LONGEST
        (thread,) = self.reactor.names.threads
        self.assertTrue(thread.is_alive() and thread.daemon)

    def test_threads_end_with_the_reactor(self) -> None:
        before = set(threading.enumerate())
        done = self.threads.files(str.upper, "done")
        self.reactor.run_until(done)
        self.end()
        self.assertEqual(set(threading.enumerate()) - before, set())
        self.reactor.at_end.clear()
