"""How much a worker computes while its handler runs."""

from __future__ import annotations

from attrs import evolve

from modelserver.spec import WorkerFailure
from tests.harness.workers import WorkerTestCase


class ProcessorUseTests(WorkerTestCase):
    """Of a process that the test says has used so much."""

    def setUp(self) -> None:
        super().setUp()
        self.used: dict[int, float] = {}
        self.stage.providers = evolve(self.stage.providers, processor_time=self.used.get)
        self.version = self.make()

    def load(self, used: float) -> None:
        """Report that the model is loaded, for which the process has used so much."""
        assert self.process.pid is not None
        self.used[self.process.pid] = used
        self.process.load()

    def work(self, handled: float, used: float) -> None:
        """Have one call of the handler, in which the process uses so much."""
        assert self.process.pid is not None
        self.ask(b"a")
        self.used[self.process.pid] += used
        self.process.answer(seconds=handled)

    def so_far(self) -> tuple[float, float] | None:
        (worker,) = self.version.pool.workers
        return worker.processor_use.so_far()

    def test_the_load_does_not_count(self) -> None:
        self.version.pool.scale(1, 1)
        self.assertIsNone(self.so_far())
        self.load(3.0)
        self.work(handled=0.5, used=0.25)
        self.work(handled=0.5, used=0.0)
        self.assertEqual((0.25, 1.0), self.so_far())

    def test_another_process_begins_anew(self) -> None:
        self.version.pool.scale(1, 1)
        self.load(3.0)
        self.work(handled=0.5, used=0.5)
        self.used.clear()
        self.process.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.assertIsNone(self.so_far())
        self.clock.advance(2)
        self.load(2.0)
        self.work(handled=0.5, used=0.125)
        self.assertEqual((0.125, 0.5), self.so_far())

    def test_nothing_is_known_where_nobody_tells(self) -> None:
        self.version.pool.scale(1, 1)
        self.process.load()
        self.ask(b"a")
        self.process.answer(seconds=1.0)
        self.assertIsNone(self.so_far())
