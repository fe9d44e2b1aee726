"""The controller over workers in memory: what it decides is done by management, and nothing is lost."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from modelserver.autoscale.controller import INTERVAL, Autoscaler
from modelserver.errors import BadRequest, NotEnoughDevices, NoWorkers
from modelserver.management.descriptions import describe_version
from modelserver.management.requests import ScaleRequest
from modelserver.management.snapshots.format import take_snapshot
from modelserver.spec import ScaleDecision, WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, make_job
from tests.harness.management_case import ManagementCase

PERMANENT = WorkerFailure("load", 0.0, exception="ImportError", text="no module", permanent=True)
CRASH = WorkerFailure("signal", 0.0, signal="SIGKILL")


class ControllerTestCase(ManagementCase):
    """A model ``noop`` with autoscale from 0 to 4 workers, which load when a test says so."""

    least, most = 0, 4

    def setUp(self) -> None:
        super().setUp()
        self.stage = self.on.stage
        self.clock = self.stage.clock
        management = self.on.management
        self.autoscaler = Autoscaler(self.stage.providers, self.on.registry.has_version, management.resize)
        management.follow = self.autoscaler.follow
        self.register(workers=self.least)
        self.scale_to(self.least, self.most)
        self.version = self.on.registry.get("noop")
        self.pool = self.version.pool
        self.observers: list[CollectingObserver] = []

    def scale_to(self, least: int, most: int | None, **settings: object) -> None:
        """Set the bounds, with autoscale unless it is told otherwise."""
        request = ScaleRequest(
            "noop",
            minimum=least,
            maximum=least if most is None else most,
            has_maximum=most is not None,
            settings={"autoscale": True, "idle_timeout": 60.0, **settings},
        )
        self.successResultOf(Deferred.fromCoroutine(self.on.management.scale(request)))

    def ask(self, count: int = 1) -> None:
        """Let so many requests come."""
        for _ in range(count):
            self.observers.append(CollectingObserver())
            self.pool.put(make_job(b"x", self.clock.seconds(), self.observers[-1]))
        self.stage.turn()

    def load(self) -> None:
        """Let all workers that start load the model."""
        for worker in list(self.pool.workers):
            if worker.state is WorkerState.STARTING:
                process = worker.in_flight.process
                assert process is not None
                process.load()  # type: ignore[attr-defined]  # a worker in memory
        self.stage.turn()

    def serve(self, seconds: float = 0.01) -> None:
        """Let all workers answer what they have."""
        for process in self.stage.backend.workers:
            while process.batches and not process.is_gone:
                process.answer(seconds=seconds)
        self.stage.turn()

    def run_load(self, seconds: float, rate: int) -> None:
        """Let so many requests a second come, each of which takes 10 ms, and be served at once."""
        for _ in range(round(seconds * 10)):
            self.ask(rate // 10)
            self.load()
            self.serve()
            self.clock.advance(0.1)

    @property
    def last(self) -> ScaleDecision:
        """What was decided last."""
        decision = self.version.scaling.last
        assert decision is not None
        return decision


class LoadTests(ControllerTestCase):
    """Up and down with the load."""

    least = 1

    def test_workers_follow_the_load(self) -> None:
        self.assertEqual(len(self.pool.workers), 1)
        self.run_load(1, 300)
        self.assertEqual((len(self.pool.workers), self.last.reason), (4, "load"))
        self.run_load(12, 20)
        self.assertEqual((len(self.pool.workers), self.last.reason), (1, "calm"))
        self.assertEqual({len(each.errors) for each in self.observers}, {0})

    def test_what_was_decided_is_described_and_counted(self) -> None:
        self.run_load(1, 300)
        description = self.successResultOf(Deferred.fromCoroutine(self.on.management.describe("noop")))
        scaling = description.scaling
        assert scaling is not None
        self.assertEqual((scaling.wanted, description.wanted_workers), (4, 4))
        self.assertEqual((description.spec.workers.minimum, description.spec.workers.maximum), (1, 4))
        assert scaling.last is not None
        self.assertIn("requests a second are too many (workers: ", scaling.last.text)
        self.assertGreaterEqual(self.stage.recorder.counts["scale_decided", "noop", "load"], 1)

    def test_a_snapshot_is_not_written_for_it(self) -> None:
        before = len(self.on.changes)
        self.run_load(1, 300)
        self.assertEqual(len(self.on.changes), before)

    def test_a_call_moves_the_bounds(self) -> None:
        self.run_load(1, 300)
        self.scale_to(1, 2)
        self.assertEqual(len(self.pool.workers), 2)
        self.scale_to(3, None)
        self.assertEqual((len(self.pool.workers), self.version.bounds.maximum), (3, 3))

    def test_switched_off_the_numbers_are_the_callers_own(self) -> None:
        self.scale_to(2, 2, autoscale=False)
        self.run_load(1, 300)
        self.assertEqual(len(self.pool.workers), 2)
        self.assertIsNone(self.pool.demand)
        self.assertFalse(self.pool.waking.is_open)
        look = self.clock.seconds() + INTERVAL
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() <= look], [])

    def test_unregistered_it_is_looked_at_no_more(self) -> None:
        self.load()
        self.successResultOf(Deferred.fromCoroutine(self.on.management.unregister("noop")))
        self.clock.advance(0.1)
        look = self.clock.seconds() + INTERVAL
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() <= look], [])


class ZeroTests(ControllerTestCase):
    """Down to no worker, and back."""

    def test_a_request_brings_a_worker(self) -> None:
        self.assertEqual(self.pool.workers, [])
        self.ask()
        self.assertEqual(len(self.pool.workers), 1)
        self.clock.advance(0.5)
        self.load()
        self.serve()
        self.assertEqual((self.observers[0].bodies, self.last.reason), ([b"x"], "wake"))
        self.assertEqual(self.stage.recorder.counts["woken", "noop"], 1)

    def test_a_hundred_cycles_lose_nothing(self) -> None:
        for _ in range(100):
            self.ask(3)
            self.clock.advance(0.2)
            self.load()
            self.serve()
            for _ in range(7):
                self.clock.advance(10)
            self.assertEqual((self.pool.workers, self.last.reason), ([], "idle"))
        self.assertEqual({tuple(each.bodies) for each in self.observers}, {(b"x",)})
        self.assertEqual(self.stage.backend.retired, [])

    def test_the_template_goes_if_it_is_not_to_stay(self) -> None:
        self.scale_to(0, 4, keep_template=False)
        self.ask()
        self.load()
        self.serve()
        for _ in range(7):
            self.clock.advance(10)
        self.assertEqual(self.stage.backend.retired, [("noop", "1.0")])

    def test_many_requests_at_once_bring_as_many_as_they_need(self) -> None:
        self.ask()
        self.load()
        self.serve()
        for _ in range(7):
            self.clock.advance(10)
        self.ask(90)
        self.assertEqual(len(self.pool.workers), 4)

    def test_no_worker_is_allowed(self) -> None:
        self.scale_to(0, 0)
        self.assertRaises(NoWorkers, self.ask)


class FaultTests(ControllerTestCase):
    """Workers that fail, and what happens meanwhile."""

    def test_a_worker_that_cannot_load_is_not_started_again_and_again(self) -> None:
        self.ask()
        self.stage.backend.last.exit(PERMANENT)
        self.assertIn("no module", self.observers[0].reasons[0])
        for _ in range(100):
            self.clock.advance(10)
            self.assertRaises(NoWorkers, self.ask)
        self.assertEqual(len(self.stage.backend.workers), 1)
        self.assertEqual([worker.state for worker in self.pool.workers], [WorkerState.FAILED])

    def test_a_call_starts_it_again(self) -> None:
        self.ask()
        self.stage.backend.last.exit(PERMANENT)
        self.scale_to(0, 4)
        self.assertEqual([worker.state for worker in self.pool.workers], [WorkerState.STARTING])

    def test_starting_workers_that_are_killed_come_again_by_the_restart_rules(self) -> None:
        self.ask(2)
        for _ in range(3):
            self.stage.backend.last.exit(CRASH)
            self.clock.advance(5)
        self.load()
        self.serve()
        self.assertEqual([each.bodies for each in self.observers], [[b"x"], [b"x"]])
        self.assertEqual(len(self.pool.workers), 1)

    def test_one_that_has_failed_leaves_first(self) -> None:
        self.scale_to(2, 2)
        first, second = self.stage.backend.workers[-2:]
        second.load()
        first.exit(PERMANENT)
        self.on.management.resize(self.version, 1)
        self.assertEqual([worker.state for worker in self.pool.workers], [WorkerState.READY])

    def test_unregistering_while_a_worker_comes_answers_those_who_wait(self) -> None:
        self.ask()
        gone = Deferred.fromCoroutine(self.on.management.unregister("noop"))
        self.stage.turn()
        self.successResultOf(gone)
        self.assertEqual((len(self.observers[0].errors), self.pool.workers), (1, []))
        self.clock.advance(1)
        look = self.clock.seconds() + INTERVAL
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() <= look], [])

    def test_a_snapshot_while_a_worker_comes_has_the_bounds_and_not_the_number(self) -> None:
        self.ask()
        self.assertEqual(len(self.pool.workers), 1)
        snapshot = take_snapshot("s", 0.0, [describe_version(self.version, is_default=True)])
        kept = snapshot.models["noop"]["1.0"]
        self.assertEqual((kept.min_workers, kept.max_workers), (0, 4))
        assert kept.autoscaling is not None
        self.assertEqual((kept.autoscaling["autoscale"], kept.autoscaling["idle_timeout"]), (True, 60.0))

    def test_what_cannot_be_done_is_told_to_those_who_wait(self) -> None:
        def refuse(version: object, workers: int) -> None:
            raise NotEnoughDevices("noop", 4)

        self.autoscaler.resize = refuse
        self.ask()
        self.assertIsInstance(self.observers[0].errors[0], NotEnoughDevices)


class BadInputTests(ControllerTestCase):
    """What is refused changes nothing."""

    def test_a_version_with_sequences(self) -> None:
        self.on.add_model("kept.mar", "kept", config="sequenceBatching: true\nsequenceMaxIdleMSec: 1000\n")
        self.register("kept.mar")
        request = ScaleRequest("kept", settings={"autoscale": True})
        self.failureResultOf(Deferred.fromCoroutine(self.on.management.scale(request)), BadRequest)
        self.assertFalse(self.on.registry.get("kept").scaling.is_on)
