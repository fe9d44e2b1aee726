"""The event loop stays awake for a moment where one very fast worker has one thing to do."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.testing.providers import MemoryWorker, Stage, make_job, make_spec

TURNS = 5


class AttentionTests(SynchronousTestCase):
    """Turns are asked for one after the other, and run here by hand."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.soon: list[Callable[[], None]] = []
        self.stage.providers = evolve(self.stage.providers, awake_turns=TURNS, call_soon=self.soon.append)

    def scaled(self, workers: int = 1) -> list[MemoryWorker]:
        self.version = self.stage.version(make_spec())
        self.version.pool.scale(workers, workers)
        for process in self.stage.backend.workers:
            process.load()
        self.assertEqual(self.turns(), workers > 0)
        return self.stage.backend.workers

    def ask(self, count: int = 1) -> None:
        for _ in range(count):
            self.version.pool.put(make_job(b"a", self.stage.clock.seconds()))
        self.soon.pop(0)()

    def fast(self) -> MemoryWorker:
        """A worker that is known to take next to no time."""
        (process,) = self.scaled()
        self.ask()
        process.answer(seconds=0.0001)
        return process

    def turns(self) -> int:
        """Run turns until no further one is asked for; how many there were."""
        turns = 0
        while self.soon:
            (turn,), self.soon[:] = list(self.soon), []
            turn()
            turns += 1
        return turns

    def test_a_very_fast_worker_is_waited_for_awake(self) -> None:
        (process,) = self.scaled()
        self.ask()
        self.assertEqual(self.turns(), 0)  # it is not known yet
        for seconds, turns in ((0.0001, TURNS), (0.0001, TURNS), (0.1, 0)):
            process.answer(seconds=seconds)
            self.ask()
            self.assertEqual(self.turns(), turns)

    def test_not_any_longer_than_it_takes(self) -> None:
        process = self.fast()
        self.ask()
        self.soon.pop(0)()
        process.answer(seconds=0.0001)
        self.assertEqual(self.turns(), 1)

    def test_one_count_for_what_comes_meanwhile(self) -> None:
        process = self.fast()
        self.ask()
        self.soon.pop(0)()
        process.answer(seconds=0.0001)
        self.version.pool.put(make_job(b"a", self.stage.clock.seconds()))
        self.assertEqual(len(self.soon), 2)
        turn, dispatch = self.soon
        self.soon.clear()
        dispatch()
        turn()
        self.assertEqual(len(self.soon), 1)
        self.assertEqual(self.turns(), TURNS - 1)

    def test_several_in_hand_keep_nobody_awake(self) -> None:
        self.fast()
        self.ask(3)
        self.assertEqual(self.turns(), 0)
