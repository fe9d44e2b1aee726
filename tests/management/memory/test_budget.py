"""Memory is set aside before workers start; who is not used leaves when it is short."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.shortage import MemoryShort
from modelserver.core.version import ModelVersion
from modelserver.devices import HOST
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import make_job
from tests.harness.memory import GUESS, BudgetStage

SIZES = dict.fromkeys("abcdefgh", 300)


class BudgetTests(SynchronousTestCase):
    """Three workers of 300 bytes fit, once they have been measured."""

    def setUp(self) -> None:
        self.on = BudgetStage(10 * GUESS, dict(SIZES))

    def known(self, names: str) -> list[ModelVersion]:
        """Versions that were measured before, without workers; from now on 1,000 bytes are all there is."""
        versions = [self.on.loaded(name) for name in names]
        for version in versions:
            version.pool.scale(0, 0)
        self.on.stage.turn()
        self.on.memory.limits[HOST] = 1000
        return versions

    def loaded(self, names: str) -> list[ModelVersion]:
        versions = self.known(names)
        for version in versions:
            self.successResultOf(self.on.claim(version))
            self.on.load(version)
        return versions

    def test_a_worker_is_expected_to_take_what_its_archive_does_until_one_was_measured(self) -> None:
        version = self.on.add("a")
        figures = self.on.memory.figures(version.spec).get(HOST)
        assert figures is not None
        self.assertEqual((figures.expected, figures.is_seen, figures.reserved), (GUESS, False, 0))
        self.successResultOf(self.on.claim(version))
        figures = self.on.memory.figures(version.spec).get(HOST)
        assert figures is not None
        self.assertEqual(figures.reserved, GUESS)
        self.on.load(version)
        figures = self.on.memory.figures(version.spec).get(HOST)
        assert figures is not None
        self.assertEqual((figures.expected, figures.is_seen, figures.reserved), (300, True, 300))

    def test_the_largest_that_was_seen_counts(self) -> None:
        version = self.on.loaded("a")
        for size, expected in ((500, 500), (200, 500)):
            self.on.takes["a"] = size
            self.on.watch.measure_soon()
            figures = self.on.memory.figures(version.spec).get(HOST)
            assert figures is not None
            self.assertEqual((figures.expected, figures.reserved), (expected, expected))

    def test_what_was_seen_is_remembered_after_an_end(self) -> None:
        (version,) = self.known("a")
        self.on.registry.remove("a")
        again = self.on.add("a")
        figures = self.on.memory.figures(again.spec).get(HOST)
        assert figures is not None
        self.assertEqual((figures.expected, figures.is_seen), (300, True))
        self.assertFalse(version.pool.workers)

    def test_reserve_says_how_many_may_start_now(self) -> None:
        (version,) = self.known("a")
        self.assertEqual(self.on.memory.reserve(version.spec, 5), 3)
        version.pool.scale(2, 2)
        self.assertEqual(self.on.memory.reserve(version.spec, 5), 1)
        version.pool.scale(3, 3)
        self.assertEqual(self.on.memory.reserve(version.spec, 1), 0)
        version.pool.scale(1, 1)
        self.on.stage.turn()
        self.assertEqual(self.on.memory.reserve(version.spec, 5), 2)

    def test_the_version_leaves_that_was_not_used_for_longest(self) -> None:
        a, b, c = self.loaded("abc")
        other = self.known_later("d")
        for version in (a, c, b, c):
            self.on.use(version)
        self.successResultOf(self.on.claim(other))
        self.assertEqual(self.on.names(), "bcd")
        self.assertEqual(self.on.memory.evictions, {("a", "1.0"): 1})

    def known_later(self, name: str) -> ModelVersion:
        """One more version that was measured, without workers."""
        version = self.on.add(name)
        self.on.memory.measured(version.spec, 300, 0)
        return version

    def test_a_version_with_a_job_in_hand_or_queued_stays(self) -> None:
        a, b, c = self.loaded("abc")
        other = self.known_later("d")
        for version in (a, b):
            version.pool.put(make_job(b"x"))
        self.on.stage.turn()
        self.successResultOf(self.on.claim(other))
        self.assertEqual(self.on.names(), "abd")
        self.assertFalse(c.pool.workers)

    def test_a_pinned_version_and_the_node_of_a_workflow_stay(self) -> None:
        versions = [self.on.loaded("a", pinned=True), self.on.loaded("b", workflow="w"), self.on.loaded("c")]
        self.on.memory.limits[HOST] = 1000
        self.successResultOf(self.on.claim(self.known_later("d")))
        self.assertEqual(self.on.names(), "abd")
        self.assertFalse(versions[2].pool.workers)

    def test_nobody_leaves_where_that_would_not_be_enough(self) -> None:
        self.loaded("abc")
        large = self.on.add("d")
        self.on.memory.measured(large.spec, 1001, 0)
        error = self.failureResultOf(self.on.claim(large), MemoryShort).value
        self.assertEqual(self.on.names(), "abc")
        self.assertEqual((error.needed, error.reserved, error.limit), (1001, 900, 1000))
        self.assertEqual((error.is_seen, error.retry_after), (True, 0.0), "it never will fit")

    def test_where_all_are_busy_a_claim_is_refused_with_the_numbers(self) -> None:
        for version in self.loaded("abc"):
            version.pool.put(make_job(b"x"))
        self.on.stage.turn()
        error = self.failureResultOf(self.on.claim(self.known_later("d")), MemoryShort).value
        self.assertEqual((error.needed, error.reserved, error.limit), (300, 900, 1000))
        self.assertGreater(error.retry_after, 0)

    def test_one_that_waits_gets_the_room_of_the_first_that_is_idle(self) -> None:
        self.on.watch.start()
        self.addCleanup(self.on.watch.stop)
        for version in self.loaded("abc"):
            version.pool.put(make_job(b"x"))
        self.on.stage.turn()
        waiting = self.on.claim(self.known_later("d"), waits=True)
        self.on.stage.clock.advance(1)
        self.assertNoResult(waiting)
        busy = [worker for worker in self.on.stage.backend.workers if worker.batches]
        busy[1].answer()
        self.on.stage.clock.pump([0.02, 0.02])
        self.successResultOf(waiting)
        self.assertEqual(self.on.names(), "acd")

    def test_one_that_waits_may_give_up(self) -> None:
        for version in self.loaded("abc"):
            version.pool.put(make_job(b"x"))
        waiting = self.on.claim(self.known_later("d"), waits=True)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.assertFalse(self.on.memory.is_awaited)

    def test_room_is_there_only_when_the_workers_are_gone(self) -> None:
        self.loaded("abc")
        held = [worker for worker in self.on.stage.backend.workers if not worker.is_gone]
        for worker in held:
            worker.ends_when_told = False
        waiting = self.on.claim(self.known_later("d"))
        self.assertNoResult(waiting)
        self.assertEqual(sum(worker.is_stopping for worker in held), 1, "one is enough")
        next(worker for worker in held if worker.is_stopping).exit(WorkerFailure("exit", 0.0, exit_code=0))
        self.successResultOf(waiting)

    def test_who_came_first_gets_room_first(self) -> None:
        a, b, c = self.loaded("abc")
        for version in (a, b, c):
            version.pool.put(make_job(b"x"))
        self.on.stage.turn()
        first = self.on.claim(self.known_later("d"), 2, waits=True)
        second = self.on.claim(self.known_later("e"), 1, waits=True)
        busy = [worker for worker in self.on.stage.backend.workers if worker.batches]
        busy[0].answer()
        self.on.memory.look()
        self.assertNoResult(first)
        self.assertNoResult(second)
        busy[1].answer()
        self.on.memory.look()
        self.successResultOf(first)
        self.assertNoResult(second)

    def test_who_is_granted_may_reserve_although_others_wait(self) -> None:
        a, *_ = self.loaded("abc")
        for version in self.on.registry.all():
            version.pool.put(make_job(b"x"))
        self.on.stage.turn()
        first, second = self.known_later("d"), self.known_later("e")
        reserved: list[int] = []
        claim = self.on.memory.claim(first.spec, 1, waits=True)
        claim.addCallback(lambda _: reserved.append(self.on.memory.reserve(first.spec, 1)))
        waiting = self.on.memory.claim(second.spec, 2, waits=True)
        self.assertEqual(self.on.memory.reserve(a.spec, 1), 0, "others came before")
        next(worker for worker in self.on.stage.backend.workers if worker.batches).answer()
        self.on.memory.look()
        self.assertEqual(reserved, [1])
        self.assertNoResult(waiting)

    def test_of_versions_that_were_never_measured_one_loads_at_a_time(self) -> None:
        first, second = self.on.add("a"), self.on.add("b")
        self.successResultOf(self.on.claim(first))
        waiting = self.on.claim(second)
        self.assertNoResult(waiting)
        self.assertEqual(self.on.memory.reserve(second.spec, 1), 0)
        self.on.load(first)
        self.successResultOf(waiting)

    def test_one_that_grows_beyond_the_limit_makes_others_leave(self) -> None:
        a, b, _ = self.loaded("abc")
        self.on.use(a)
        self.on.use(b)
        self.on.takes["a"] = 450
        self.on.watch.measure_soon()
        self.assertEqual(self.on.names(), "ab")

    def test_a_template_counts_once_for_all_workers(self) -> None:
        (version,) = self.known("a")
        self.on.memory.measured(version.spec, 300, 150)
        version.pool.scale(2, 2)
        self.assertEqual(self.on.memory.accounts.reserved_on(HOST), 750)
        version.pool.scale(0, 0)
        self.on.stage.turn()
        self.assertEqual(
            self.on.memory.accounts.reserved_on(HOST), 150, "it may stay when the workers are gone"
        )
        self.on.memory.measured(version.spec, 0, 0)
        self.assertEqual(self.on.memory.accounts.reserved_on(HOST), 0)
        figures = self.on.memory.figures(version.spec).get(HOST)
        assert figures is not None
        self.assertEqual(figures.expected, 450, "it comes again with the first worker")

    def test_a_worker_that_dies_and_comes_again_keeps_its_room(self) -> None:
        (version,) = self.loaded("a")
        self.on.stage.backend.last.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.assertEqual(self.on.memory.accounts.reserved_on(HOST), 300)
        self.on.stage.clock.advance(1)
        self.on.load(version)
        self.assertEqual(self.on.memory.accounts.reserved_on(HOST), 300)
        version.pool.scale(0, 0)
        self.on.stage.turn()
        self.assertEqual(self.on.memory.accounts.reserved_on(HOST), 0)

    def test_memory_that_cannot_be_read_is_no_limit_and_told_once(self) -> None:
        for version in self.loaded("abc"):
            version.pool.put(make_job(b"x"))
        waiting = self.on.claim(self.known_later("d"), waits=True)
        self.on.unreadable = "Permission denied"
        self.on.watch.measure_soon()
        self.on.watch.measure_soon()
        self.successResultOf(waiting)
        self.assertIsNone(self.on.memory.figures(self.on.registry.get("a").spec).get(HOST))
        self.assertEqual(self.on.memory.reserve(self.on.registry.get("a").spec, 9), 9)
