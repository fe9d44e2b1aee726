"""How many workers a call, or an archive, may ask for; what the operator wants is not limited."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import Settings
from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.management.models_json import VersionPreset
from modelserver.management.requests import RegisterRequest, VersionOverrides
from modelserver.management.version_spec import MOST_WORKERS, VersionDefaults
from tests.harness.management_case import ManagementCase

LIMIT = 4


class WorkerLimitTests(ManagementCase):
    """A management where a version may have four workers."""

    def setUp(self) -> None:
        self.on = self.make(defaults=VersionDefaults(most_workers=LIMIT, workers=6, startup_workers=7))
        self.on.add_model("noop.mar", "noop")
        self.on.add_model("many.mar", "many", config=f"minWorkers: {LIMIT + 1}\nmaxWorkers: {LIMIT + 1}\n")
        self.on.add_model("some.mar", "some", config=f"minWorkers: {LIMIT}\nmaxWorkers: {LIMIT + 9}\n")

    def test_a_registration(self) -> None:
        error = self.failureResultOf(self.start(workers=LIMIT + 1), BadRequest)
        self.assertEqual(str(error.value), "initial_workers is 5, max_workers_per_model is 4.")
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk(), self.workers), ([], [], []))
        self.register(workers=LIMIT)
        self.assertEqual(len(self.workers), LIMIT)

    def test_a_change_of_scale(self) -> None:
        self.register(workers=1)
        error = self.failureResultOf(self.scale(minimum=LIMIT + 1, maximum=LIMIT + 1), BadRequest)
        self.assertEqual(str(error.value), "min_worker is 5, max_workers_per_model is 4.")
        self.assertEqual(len(self.workers), 1)
        self.successResultOf(self.scale(minimum=LIMIT, maximum=10_000))
        self.assertEqual(len(self.workers), LIMIT)

    def test_an_archive(self) -> None:
        for start_up in (False, True):
            error = self.failureResultOf(self.start("many.mar", start_up=start_up), ArchiveInvalid)
            self.assertEqual(
                str(error.value), "The archive asks for 5 workers (minWorkers); max_workers_per_model is 4."
            )
            self.assertEqual((self.on.registry.names(), self.on.left_on_disk(), self.workers), ([], [], []))
        self.register("some.mar")
        self.assertEqual(len(self.workers), LIMIT)

    def test_what_the_operator_wants_is_not_limited(self) -> None:
        self.assertEqual(self.workers_of_start(VersionOverrides()), 7)
        self.assertEqual(self.workers_of_start(VersionOverrides(settings={"min_workers": 9})), 9)
        preset = VersionPreset(settings={"min_workers": 8, "max_workers": 8})
        self.on = self.make(defaults=VersionDefaults(most_workers=LIMIT), models={"noop": {"1.0": preset}})
        self.on.add_model("noop.mar", "noop")
        self.assertEqual(self.workers_of_start(VersionOverrides()), 8)

    def workers_of_start(self, overrides: VersionOverrides) -> int:
        """Load the model as the start of a server does, and unregister it; return how many workers it had."""
        request = RegisterRequest("noop.mar", overrides=overrides, start_up=True)
        started = Deferred.fromCoroutine(self.on.management.register(request))
        self.on.load_all()
        spec = self.successResultOf(started)
        self.successResultOf(self.unregister())
        return spec.workers.minimum


class MostWorkersTests(SynchronousTestCase):
    """The key, and what holds without it."""

    def test_unset_it_grows_with_the_machine(self) -> None:
        settings = Settings()
        self.assertEqual([settings.most_workers(cpus) for cpus in (1, 64, 65, 192)], [128, 128, 130, 384])
        self.assertEqual(settings.version_defaults(0, 192, True).most_workers, 384)
        self.assertEqual(MOST_WORKERS, 128)

    def test_set_it_holds(self) -> None:
        self.assertEqual(Settings(max_workers_per_model=3).most_workers(192), 3)
