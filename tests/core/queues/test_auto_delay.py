"""The delay that the server chooses, in a simulation: callers who ask again, workers who take their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.trial.unittest import SynchronousTestCase

from modelserver.version_settings.values import AUTO_DELAY, Batching
from tests.harness.batch_simulation import Simulation, steady
from tests.harness.workers import WorkerTestCase


class AutoDelayTests(SynchronousTestCase):
    """A lone caller waits for nobody; many callers fill batches."""

    def best_of_fixed(self, handler: Callable[[int], float], pauses: Sequence[float]) -> float:
        """The best that a fixed delay reaches."""
        delays = (0.0, 0.001, 0.002, 0.005, 0.02)
        return max(Simulation(handler, pauses, delay=delay).run(0.5) for delay in delays)

    def test_a_lone_caller_pays_no_delay(self) -> None:
        alone = Simulation(steady(0.005), [0.0003])
        alone.run(0.5)
        self.assertLess(max(alone.latencies), 0.0055)

    def test_a_lone_caller_pays_no_delay_after_many(self) -> None:
        callers = Simulation(steady(0.005), [0.0003] * 40)
        callers.run(0.5)
        callers.is_over = True
        callers.wait(0.1)
        callers.is_over = False
        callers.pauses = [0.0003]
        callers.run(0.2)
        self.assertLess(max(callers.latencies), 0.0055)

    def test_callers_between_one_batch_and_two_fill_batches(self) -> None:
        for count in (20, 40, 64, 100):
            with self.subTest(count):
                pauses = [0.0003 + 0.00001 * (number % 20) for number in range(count)]
                chosen = Simulation(steady(0.010), pauses).run(0.5)
                self.assertGreater(chosen, 0.98 * self.best_of_fixed(steady(0.010), pauses))

    def test_where_batches_save_nothing_nobody_waits(self) -> None:
        callers = Simulation(lambda size: 0.002 * size, [0.0003] * 8, size=32)
        fixed = Simulation(lambda size: 0.002 * size, [0.0003] * 8, size=32, delay=0.0)
        self.assertGreater(callers.run(1), 0.98 * fixed.run(1))

    def test_an_idle_worker_is_not_kept_waiting_while_another_is_idle(self) -> None:
        pair = Simulation(steady(0.005), [0.0003, 0.0003], workers=3)
        pair.run(1)
        self.assertLess(max(pair.latencies), 0.0055)

    def test_batch_size_one_never_waits(self) -> None:
        queue = Simulation(steady(0.001), [0.0003], size=1).queue
        queue.learn(1, 1, 0.5)
        self.assertEqual(0, queue.present_delay)


class WaveTests(WorkerTestCase):
    """Callers who come in two waves, each while the other is at work, with a pool between."""

    def test_they_become_one_batch(self) -> None:
        self.scaled(batching=Batching(16, AUTO_DELAY))
        self.ask(*[b"first"] * 14)
        self.ask(*[b"second"] * 2)
        sizes = []
        for _ in range(20):
            self.assertTrue(self.process.batches, "a batch leaves within 2 ms")
            ((_, jobs),) = self.process.batches
            sizes.append(len(jobs))
            self.clock.advance(0.01)
            self.process.answer(seconds=0.01)
            self.clock.advance(0.0005)
            self.ask(*[b"again"] * len(jobs))
            self.clock.advance(0.0015)
        self.assertEqual(sizes[0], 14)
        self.assertEqual(sizes[-8:], [16] * 8)
