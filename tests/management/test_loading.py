"""Models that are loaded by their first request."""

from __future__ import annotations

import shutil

from twisted.internet.defer import Deferred

from modelserver.errors import ArchiveInvalid, DeadlinePassed, ModelNotFound, NoWorkers, Unregistered
from modelserver.inference.health import health_of, is_model_ready, unready_models
from modelserver.management.requests import RegisterRequest
from modelserver.spec import WorkerFailure
from tests.harness.loading import LoadingCase
from tests.harness.management import LOAD_FAILURE

CONFIG = "minWorkers: 2\nmaxWorkers: 3\nbatchSize: 4\n"
KILLED = WorkerFailure("signal", 0.0, signal="SIGKILL")


class KnownTests(LoadingCase):
    """An archive that was looked at."""

    def test_it_is_listed_and_described_and_nothing_is_unpacked_or_started(self) -> None:
        self.on.add_model("two.mar", "two", "3.1", CONFIG)
        self.pack("two.mar")
        self.know("two.mar")
        self.assertEqual([each.name for each in self.on.management.list(9, 0)[0]], ["two"])
        described = self.successResultOf(Deferred.fromCoroutine(self.on.management.describe("two")))
        assert described.presence is not None
        self.assertEqual((described.presence.value, described.workers), ("known", ()))
        self.assertEqual((described.spec.version, described.spec.batching.size), ("3.1", 4))
        self.assertEqual((self.workers, self.on.left_on_disk()), ([], []))

    def test_it_counts_as_ready(self) -> None:
        self.know()
        registry = self.on.registry
        self.assertEqual((unready_models(registry), health_of(registry).is_healthy), ([], True))
        self.assertTrue(is_model_ready(registry, "noop"))

    def test_one_that_is_no_archive_is_refused(self) -> None:
        (self.on.store / "bad.mar").write_bytes(b"nothing")
        request = RegisterRequest("bad.mar", start_up=True)
        self.failureResultOf(Deferred.fromCoroutine(self.loading.know(request)), ArchiveInvalid)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_unregistering_leaves_nothing(self) -> None:
        self.know()
        self.successResultOf(self.unregister())
        self.assertEqual((len(self.on.management.files), self.on.left_on_disk()), (0, []))
        self.assertRaises(ModelNotFound, self.ask)

    def test_a_registration_takes_its_place_and_loads_at_once(self) -> None:
        self.know()
        spec = self.register(workers=1)
        self.assertEqual((spec.name, self.version().pool.ready, self.state()), ("noop", 1, ""))

    def test_scaling_loads_it(self) -> None:
        self.on.add_model("two.mar", "two")
        self.pack("two.mar")
        self.know("two.mar")
        scaled = self.scale("two", minimum=2, maximum=2, synchronous=True)
        self.on.load_all()
        self.assertTrue(self.successResultOf(scaled))
        self.assertEqual((self.version("two").pool.ready, self.state("two")), (2, "loaded"))


class FirstRequestTests(LoadingCase):
    """The first request loads; others wait with it."""

    def test_it_unpacks_starts_and_is_answered(self) -> None:
        self.on.add_model("two.mar", "two", config=CONFIG)
        self.pack("two.mar")
        self.know("two.mar")
        observer = self.ask("two")
        self.assertEqual((self.state("two"), len(self.workers)), ("loading", 2))
        folder = self.workers[0].spec.version.folder
        self.assertTrue((folder / "handler.py").read_text().startswith("def handle"))
        self.assertEqual(self.version("two").spec.folder, folder)
        self.on.load_all()
        self.on.stage.clock.advance(1)
        self.answer_all()
        self.assertEqual((observer.bodies, self.state("two")), ([b"x"], "loaded"))
        self.assertEqual(self.loading.outcomes, {("two", "1.0", "loaded"): 1})

    def test_many_at_once_load_once(self) -> None:
        self.on.thread.holds = True
        started = Deferred.fromCoroutine(
            self.loading.know(RegisterRequest("noop.mar", synchronous=False, start_up=True))
        )
        self.on.thread.run_all()
        self.successResultOf(started)
        self.on.thread.holds = True
        observers = [self.ask() for _ in range(20)]
        self.assertEqual(len(self.on.thread.calls), 1, "the archive is opened once")
        self.on.thread.run_all()
        observers.append(self.ask())
        self.on.load_all()
        self.answer_all()
        self.assertEqual([each.bodies for each in observers], [[b"x"]] * 21)
        self.assertEqual((len(self.on.stage.backend.workers), len(self.on.left_on_disk())), (1, 1))

    def test_one_whose_time_is_over_is_told_so_and_the_model_comes_for_the_others(self) -> None:
        self.know()
        first, second = self.ask(timeout=1.0), self.ask()
        self.on.stage.clock.pump([1, 0.1])
        self.assertEqual([type(each) for each in first.errors], [DeadlinePassed])
        self.on.load_all()
        self.answer_all()
        self.assertEqual(second.bodies, [b"x"])

    def test_it_unloads_when_it_is_scaled_to_none_and_comes_again(self) -> None:
        self.know()
        self.serve()
        self.successResultOf(self.scale(minimum=0, maximum=0))
        self.on.stage.turn()
        self.assertEqual(self.state(), "unloaded")
        self.serve()


class FailureTests(LoadingCase):
    """Loads that fail answer with the cause, and are not tried without end."""

    def test_all_who_wait_are_told_why(self) -> None:
        self.know()
        observers = [self.ask(), self.ask()]
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        for observer in observers:
            (error,) = observer.errors
            assert isinstance(error, NoWorkers)
            self.assertIn("ImportError: no module", error.reason)
            self.assertEqual(error.retry_after, 1.0)
        self.assertEqual((self.workers, self.state()), ([], "unloaded"))

    def test_it_is_tried_again_after_a_time_that_grows(self) -> None:
        self.know()
        for failures, delay in ((1, 1.0), (2, 1.0), (3, 2.0), (4, 3.0)):
            self.ask()
            self.workers[0].exit(LOAD_FAILURE)
            self.on.stage.turn()
            self.on.stage.clock.advance(delay - 0.1)
            (error,) = self.ask().errors
            self.assertIn("no module", str(error))
            self.assertEqual(len(self.on.stage.backend.workers), failures)
            self.on.stage.clock.advance(0.1)
        self.serve()
        self.successResultOf(self.scale(minimum=0, maximum=0))
        self.on.stage.turn()
        self.ask()
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        (error,) = self.ask().errors
        assert isinstance(error, NoWorkers)
        self.assertEqual(error.retry_after, 1.0, "a load that succeeds ends the row")

    def test_workers_that_somebody_kills_are_started_again_and_nothing_is_lost(self) -> None:
        self.know()
        observer = self.ask()
        for _ in range(2):
            self.workers[0].exit(KILLED)
            self.on.stage.turn()
            self.on.stage.clock.advance(1)
        self.on.load_all()
        self.answer_all()
        self.assertEqual((observer.bodies, self.state()), ([b"x"], "loaded"))

    def test_workers_that_are_always_killed_end_the_load(self) -> None:
        self.know()
        observer = self.ask()
        for _ in range(4):
            self.workers[0].exit(KILLED)
            self.on.stage.turn()
            self.on.stage.clock.advance(10)
        self.assertEqual(len(observer.errors), 1)
        self.assertIn("SIGKILL", str(observer.errors[0]))

    def test_unregistering_during_a_load_leaves_nothing(self) -> None:
        for held in (True, False):
            self.know()
            self.on.thread.holds = held
            observer = self.ask()
            ended = self.unregister()
            self.on.thread.run_all()
            self.on.stage.turn()
            self.successResultOf(ended)
            self.assertEqual([type(each) for each in observer.errors], [Unregistered])
            self.assertEqual((self.workers, self.on.left_on_disk(), self.on.registry.names()), ([], [], []))

    def test_workers_that_are_taken_away_during_a_load_come_again_for_those_who_wait(self) -> None:
        self.know()
        observer = self.ask()
        self.successResultOf(self.scale(minimum=0, maximum=0))
        self.on.stage.turn()
        self.on.load_all()
        self.answer_all()
        self.assertEqual(observer.bodies, [b"x"])


class ChangedArchiveTests(LoadingCase):
    """Archives that are others when they are needed."""

    def test_one_that_has_vanished(self) -> None:
        self.know()
        aside = self.on.folder / "aside"
        (self.on.store / "noop.mar").rename(aside)
        (error,) = self.ask().errors
        self.assertIn("Model not found at: noop.mar", str(error))
        self.assertEqual(self.state(), "known")
        aside.rename(self.on.store / "noop.mar")
        self.on.stage.clock.advance(1)
        self.serve()

    def test_one_with_other_content_is_served_as_it_is_now(self) -> None:
        self.know()
        (self.on.store / "noop.mar" / "handler.py").write_text("def handle(data, context): return 2\n")
        self.serve()

    def test_one_with_other_settings_is_looked_at_anew(self) -> None:
        self.know()
        shutil.rmtree(self.on.store / "noop.mar")
        self.on.add_model("noop.mar", "noop", config=CONFIG)
        (error,) = self.ask().errors
        self.assertIn("has changed", str(error))
        self.assertEqual((self.state(), self.version().spec.batching.size), ("known", 4))
        observer = self.ask()
        self.on.load_all()
        self.on.stage.clock.advance(1)
        self.answer_all()
        self.assertEqual(observer.bodies, [b"x"])

    def test_one_of_another_model_takes_its_place(self) -> None:
        self.know()
        shutil.rmtree(self.on.store / "noop.mar")
        self.on.add_model("noop.mar", "other")
        self.assertEqual(len(self.ask().errors), 1)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), (["other"], []))
        self.serve("other")

    def test_one_that_is_no_archive_any_more(self) -> None:
        self.pack("noop.mar")
        self.know()
        (self.on.store / "noop.mar").write_bytes(b"nothing")
        (error,) = self.ask().errors
        self.assertIn("neither a zip", str(error))
        self.assertEqual((self.state(), self.on.left_on_disk()), ("known", []))
