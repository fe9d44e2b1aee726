"""The backend in memory keeps the contract that the real ones keep."""

from __future__ import annotations

from modelserver.interfaces import WorkerProcess
from modelserver.spec import WorkerFailure, WorkerSpec
from modelserver.testing.providers import START_OF_TIME, MemoryBackend, MemoryWorker, make_spec
from tests.harness.backend_contract import BackendContract


class MemoryBackendTests(BackendContract):
    """Nothing happens by itself: each nudge is one step."""

    __test__ = True

    def setUp(self) -> None:
        self.backend = MemoryBackend()

    def echo_spec(self, worker: str) -> WorkerSpec:
        return WorkerSpec(make_spec(), worker)

    def broken_spec(self, worker: str) -> WorkerSpec:
        return WorkerSpec(make_spec("broken"), worker)

    def nudge(self, process: WorkerProcess) -> None:
        assert isinstance(process, MemoryWorker)
        if process.spec.version.name == "broken":
            process.exit(WorkerFailure("load", START_OF_TIME, 1, exception="ZeroDivisionError"))
        elif process.batches:
            process.answer()
        else:
            process.load()
