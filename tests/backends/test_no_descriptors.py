"""A worker that is started when descriptors run out ends, with a reason, and leaves none behind."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, cast

from attrs import define, evolve, field
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IReactorProcess
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.local import LocalBackend
from modelserver.backends.process import HostServices
from modelserver.backends.template import TemplateBackend
from modelserver.backends.torchrun import TorchrunBackend
from modelserver.interfaces import WorkerBackend
from modelserver.spec import WorkerSettings, WorkerSpec
from modelserver.testing.providers import START_OF_TIME, make_spec
from modelserver.version_settings.values import Torchrun, WorkerStart
from tests.harness.backend_contract import RecordingEvents

MOST = 30
"""Descriptors that no start of a worker uses up."""


@define(eq=False)
class Child:
    """A process that was there before; it does nothing."""

    popen: Popen[bytes]
    protocol: ProcessProtocol

    @property
    def pid(self) -> int:
        return self.popen.pid

    def closeChildFD(self, descriptor: int) -> None: ...

    def reapProcess(self) -> None:
        """Tell its end, once."""
        if self.popen.poll() is None:
            self.popen.wait()
        reason = ProcessTerminated(signal=signal.SIGKILL)
        self.protocol.processExited(Failure(reason))


@define(eq=False)
class Spawner:
    """Gives processes that were made ready, as they need descriptors themselves."""

    ready: list[Popen[bytes]] = field(factory=list)
    given: list[Popen[bytes]] = field(factory=list)

    def fill(self) -> None:
        """Make as many ready as a start needs."""
        while len(self.ready) < 2:
            self.ready.append(Popen(["sleep", "600"], start_new_session=True))

    def spawnProcess(self, protocol: ProcessProtocol, *args: object, **kwargs: object) -> Child:
        self.given.append(self.ready.pop())
        return Child(self.given[-1], protocol)

    def wait(self) -> None:
        """Wait for the end of those that were given, all of which were killed."""
        for popen in self.given:
            if popen.returncode is None:
                os.waitid(os.P_PID, popen.pid, os.WEXITED | os.WNOWAIT)
        self.given.clear()

    def end(self) -> None:
        """Kill those that nobody was given."""
        for popen in self.ready:
            popen.kill()
            popen.wait()


@contextmanager
def only(free: int) -> Iterator[None]:
    """Leave so many descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filled = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_descriptors()) + 2 * MOST, hard))
    try:
        while True:
            try:
                filled.append(os.dup(0))
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                break
        for _ in range(free):
            os.close(filled.pop())
        yield
    finally:
        for each in filled:
            os.close(each)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_descriptors() -> set[int]:
    """Return those of this process."""
    return {int(name) for name in os.listdir("/proc/self/fd")}


class DescriptorTests(SynchronousTestCase):
    """Each backend, with any number of descriptors that is too small."""

    def setUp(self) -> None:
        if not Path("/proc/self/fd").exists():
            self.skipTest("nothing tells which descriptors are open")
        # What other tests have left shall not be closed meanwhile.
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.loop = asyncio.SelectorEventLoop()
        self.addCleanup(self.loop.close)
        self.clock, self.spawner = Clock(), Spawner()
        self.addCleanup(self.spawner.end)
        self.lifeline = os.pipe()
        for end in self.lifeline:
            self.addCleanup(os.close, end)
        machine = HostServices(
            cast(IReactorProcess, self.spawner),
            self.loop,
            self.clock,
            self.lifeline[0],
            {"PATH": os.environ.get("PATH", "")},
            lambda: START_OF_TIME,
        )
        self.local = LocalBackend(machine, WorkerSettings())

    def turn(self) -> None:
        """Let happen what is due."""
        for _ in range(4):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            self.clock.advance(0)

    def assert_it_ends(self, backend: WorkerBackend, spec: WorkerSpec) -> None:
        """Launch with more and more descriptors, until there are enough."""
        reasons = []
        for free in range(MOST):
            self.spawner.fill()
            events, before = RecordingEvents(), open_descriptors()
            with only(free):
                process = backend.launch(events, spec)
                self.assertEqual([], events.told)
                self.turn()
                reasons.append([failure.cause for failure in events.failures])
            process.kill("exit")
            backend.retire(spec.version.name, spec.version.version)
            self.spawner.wait()
            self.turn()
            self.assertEqual(1, len(events.failures), f"with {free} descriptors")
            self.assertEqual(before, open_descriptors(), f"with {free} descriptors")
            self.flushLoggedErrors(OSError)
        enough = reasons.index([])
        self.assertEqual([["launch"]] * enough + [[]] * (MOST - enough), reasons)

    def spec(self, **more: Any) -> WorkerSpec:
        return WorkerSpec(evolve(make_spec("m"), **more), "9000")

    def test_of_its_own(self) -> None:
        self.assert_it_ends(self.local, self.spec())

    def test_forked(self) -> None:
        self.assert_it_ends(TemplateBackend(self.local), self.spec(start=WorkerStart("template")))

    def test_ranks(self) -> None:
        backend = TorchrunBackend(self.local, self.local)
        self.assert_it_ends(backend, self.spec(torchrun=Torchrun(2)))
