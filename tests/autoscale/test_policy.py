"""The policy's laws, and what it decides in plain cases."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.autoscale.policy import (
    CallCost,
    Load,
    Reason,
    Rules,
    Verdict,
    decide,
    workers_for_calm,
    workers_needed,
)
from modelserver.version_settings.values import WorkerRange

RULES = Rules(WorkerRange(1, 8), queue_time=0.02, idle_timeout=300.0)
COSTS = {1: CallCost(0.01)}

costs = st.dictionaries(
    st.integers(1, 64), st.builds(CallCost, st.floats(1e-5, 100.0), st.floats(0.0, 9.0)), max_size=4
)
loads = st.builds(
    Load,
    workers=st.integers(0, 40),
    is_failing=st.booleans(),
    waiting=st.integers(0, 1000),
    in_hand=st.integers(0, 1000),
    rate=st.floats(0.0, 1e5),
    costs=costs,
    stuck=st.floats(0.0, 1000.0),
    slots=st.sampled_from((1, 8, 1024)),
    idle=st.floats(0.0, 1000.0),
    affordable=st.none() | st.integers(0, 40),
)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """Return any rules whose bounds are in order."""
    least = draw(st.integers(0, 10))
    most = draw(st.integers(least, 32))
    return Rules(WorkerRange(least, most), draw(st.floats(0.001, 10.0)), draw(st.floats(1.0, 900.0)))


class LawTests(SynchronousTestCase):
    """What holds for whatever is measured."""

    @given(loads, rules(), st.integers(0, 40))
    def test_the_bounds_hold_unless_memory_is_short(self, load: Load, wanted: Rules, calm: int) -> None:
        if load.is_failing:
            return
        workers = decide(evolve(load, affordable=None), wanted, calm).workers
        self.assertTrue(wanted.bounds.minimum <= workers <= wanted.bounds.maximum)

    @given(loads, rules(), st.integers(0, 40))
    def test_there_are_never_more_than_memory_allows(self, load: Load, wanted: Rules, calm: int) -> None:
        if load.is_failing or load.affordable is None:
            return
        workers = decide(load, wanted, calm).workers
        self.assertLessEqual(workers, min(load.affordable, wanted.bounds.maximum))

    @given(loads, rules(), st.integers(0, 40))
    def test_a_reason_is_given_for_every_change(self, load: Load, wanted: Rules, calm: int) -> None:
        verdict = decide(load, wanted, calm)
        if verdict.workers != load.workers:
            self.assertIsNotNone(verdict.reason)
        elif verdict.reason is not None:
            self.assertIs(verdict.reason, Reason.MEMORY)

    @given(loads, rules(), st.integers(0, 40), st.floats(0.0, 1000.0))
    def test_one_late_job_decides_nothing(self, load: Load, wanted: Rules, calm: int, late: float) -> None:
        alone = evolve(load, workers=max(1, load.workers), waiting=min(load.waiting, 1), in_hand=1)
        on_time = decide(evolve(alone, stuck=0.0), wanted, calm)
        self.assertEqual(decide(evolve(alone, stuck=late), wanted, calm), on_time)

    @given(loads, rules())
    def test_what_was_decided_is_not_changed_at_the_same_load(self, load: Load, wanted: Rules) -> None:
        still = evolve(
            load, workers=max(1, load.workers), is_failing=False, waiting=0, affordable=None, idle=0.0
        )
        calm = workers_for_calm(still, wanted)
        first = decide(still, wanted, calm).workers
        again = decide(evolve(still, workers=first), wanted, calm)
        self.assertEqual((again.workers, again.reason), (first, None))

    @given(loads, rules(), st.integers(0, 40))
    def test_workers_that_fail_are_left_to_the_restart_rules(
        self, load: Load, wanted: Rules, calm: int
    ) -> None:
        failing = evolve(load, is_failing=True)
        self.assertEqual(decide(failing, wanted, calm), Verdict(failing.workers))

    @given(st.floats(0.0, 5000.0), st.floats(1.0, 2.0))
    def test_more_load_never_needs_fewer_workers(self, rate: float, factor: float) -> None:
        load = Load(workers=1, rate=rate, costs=COSTS)
        self.assertLessEqual(
            workers_needed(load, RULES), workers_needed(evolve(load, rate=rate * factor), RULES)
        )

    @given(loads, rules())
    def test_calm_needs_no_fewer_than_the_load(self, load: Load, wanted: Rules) -> None:
        if load.costs:
            self.assertGreaterEqual(workers_for_calm(load, wanted), workers_needed(load, wanted))


class CaseTests(SynchronousTestCase):
    """A handler of 10 ms, and 20 ms that requests may wait."""

    def decide(self, calm: int = 8, wanted: Rules = RULES, **load: object) -> tuple[int, Reason | None]:
        """Decide for a load of one worker, unless it is told otherwise."""
        verdict = decide(Load(**{"workers": 1, "costs": COSTS, **load}), wanted, calm)  # type: ignore[arg-type]  # the names are the caller's
        return verdict.workers, verdict.reason

    def test_more_requests_than_a_worker_serves(self) -> None:
        self.assertEqual(self.decide(rate=300.0), (4, Reason.LOAD))

    def test_a_worker_that_is_busy_all_the_time_is_not_enough(self) -> None:
        self.assertEqual(self.decide(rate=99.0), (2, Reason.LOAD))

    def test_larger_batches_are_served_faster(self) -> None:
        batches = {1: CallCost(0.01), 8: CallCost(0.02)}
        self.assertEqual(self.decide(rate=99.0, costs=batches), (1, None))

    def test_spread_times_need_more_workers(self) -> None:
        self.assertEqual(self.decide(rate=180.0), (3, Reason.LOAD))
        self.assertEqual(self.decide(rate=180.0, costs={1: CallCost(0.01, 6.0)}), (4, Reason.LOAD))

    def test_what_has_piled_up_is_worked_off(self) -> None:
        self.assertEqual(self.decide(rate=30.0, waiting=100), (3, Reason.BACKLOG))

    def test_before_the_first_answer_the_time_so_far_counts(self) -> None:
        self.assertEqual(self.decide(costs={}, waiting=50, stuck=0.0), (1, None))
        self.assertEqual(self.decide(costs={}, waiting=5, stuck=2.0), (8, Reason.BACKLOG))

    def test_after_a_calm_time_some_go(self) -> None:
        self.assertEqual(self.decide(workers=5, rate=30.0, calm=2), (2, Reason.CALM))
        self.assertEqual(self.decide(workers=5, rate=30.0, calm=5), (5, None))

    def test_the_last_one_goes_when_nothing_has_come_for_long(self) -> None:
        to_zero = evolve(RULES, bounds=WorkerRange(0, 4))
        self.assertEqual(self.decide(calm=0, wanted=to_zero, idle=299.0), (1, None))
        self.assertEqual(self.decide(calm=0, wanted=to_zero, idle=300.0), (0, Reason.IDLE))
        self.assertEqual(self.decide(calm=0, idle=300.0), (1, None))

    def test_a_request_wakes_as_many_as_are_needed(self) -> None:
        to_zero = evolve(RULES, bounds=WorkerRange(0, 4))
        self.assertEqual(self.decide(workers=0, wanted=to_zero), (0, None))
        self.assertEqual(self.decide(workers=0, wanted=to_zero, waiting=1), (1, Reason.WAKE))
        self.assertEqual(self.decide(workers=0, wanted=to_zero, waiting=200), (4, Reason.WAKE))

    def test_bounds_that_were_moved(self) -> None:
        self.assertEqual(self.decide(workers=9, rate=700.0), (8, Reason.BOUNDS))
        self.assertEqual(
            self.decide(workers=1, wanted=evolve(RULES, bounds=WorkerRange(2, 3))), (2, Reason.BOUNDS)
        )

    def test_memory_holds_workers_back(self) -> None:
        self.assertEqual(self.decide(rate=300.0, affordable=2), (2, Reason.LOAD))
        self.assertEqual(self.decide(rate=300.0, workers=2, affordable=2), (2, Reason.MEMORY))

    def test_calls_side_by_side_share_a_worker(self) -> None:
        self.assertEqual(self.decide(rate=300.0, slots=1024), (1, None))
