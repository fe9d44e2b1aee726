"""The backends with real processes keep the contract, on the loops that there are."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.local import LocalBackend
from modelserver.backends.process import HostServices
from modelserver.backends.template import TemplateBackend
from modelserver.interfaces import WorkerBackend
from modelserver.spec import WorkerSettings, WorkerSpec
from modelserver.testing.providers import make_spec
from modelserver.version_settings.values import WorkerStart
from tests.harness.backend_contract import BackendContract, RecordingEvents

ECHO = "def handle(data, context):\n    return None if data is None else [row['body'] for row in data]\n"
BROKEN = "def handle(data, context):\n    1 / 0\n"


class ProcessCase(TestCase):
    """Handlers in a folder, and a machine around the test's reactor."""

    __test__ = False
    timeout = 60
    worker_start = "spawn"

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name, source in (("echo", ECHO), ("broken", BROKEN)):
            (self.folder / f"{name}.py").write_text(source)
        lifeline = os.pipe()
        for end in lifeline:
            self.addCleanup(os.close, end)
        loop = getattr(reactor, "_asyncioEventloop", None) or ReactorLoop(reactor, reactor)
        machine = HostServices(reactor, loop, reactor, lifeline[0], dict(os.environ), time.time)
        self.backend = self.new_backend(LocalBackend(machine, WorkerSettings()))

    def new_backend(self, local: LocalBackend) -> WorkerBackend:
        raise NotImplementedError

    def _spec(self, handler: str, worker: str) -> WorkerSpec:
        version = evolve(
            make_spec(),
            folder=self.folder,
            handler=handler,
            start=WorkerStart(self.worker_start),
        )
        return WorkerSpec(version, worker)

    def echo_spec(self, worker: str) -> WorkerSpec:
        return self._spec("echo.py", worker)

    def broken_spec(self, worker: str) -> WorkerSpec:
        return self._spec("broken.py", worker)


class ProcessBackendContract(ProcessCase, BackendContract):
    """The contract, for workers that are processes."""

    __test__ = False


class LocalBackendTests(ProcessBackendContract):
    """Spawned workers."""

    __test__ = True

    def new_backend(self, local: LocalBackend) -> WorkerBackend:
        return local

    async def test_interpreter_that_is_none_is_reported(self) -> None:
        spec = self.echo_spec("9000")
        spec = evolve(spec, version=evolve(spec.version, start=WorkerStart(python="/nowhere/python")))
        events = RecordingEvents()
        process = self.backend.launch(events, spec)
        await events.when(lambda: events.is_over)
        self.assertIsNone(process.pid)
        self.assertEqual(["launch"], [failure.cause for failure in events.failures])
        self.assertEqual(1, len(self.flushLoggedErrors(FileNotFoundError)))


class TemplateBackendTests(ProcessBackendContract):
    """Forked workers."""

    __test__ = True
    worker_start = "template"

    def new_backend(self, local: LocalBackend) -> WorkerBackend:
        backend = TemplateBackend(local)
        self.addCleanup(self.end_template, backend)
        return backend

    async def end_template(self, backend: TemplateBackend) -> None:
        """Leave no template behind, and no clock running for what it would have told."""
        template = backend.template_of(self.echo_spec("9999"))
        process = template.process
        backend.retire("resnet", "1.0")
        while process is not None and process.pid is not None:
            await deferLater(reactor, 0.02)
        for call in reactor.getDelayedCalls():
            call.cancel()
