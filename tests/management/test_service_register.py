"""A registration happens as a whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from modelserver.errors import (
    ArchiveInvalid,
    ArchiveNotFound,
    NotEnoughDevices,
    NoWorkers,
    VersionExists,
    WorkersFailed,
)
from modelserver.management.dependencies import Dependencies
from modelserver.management.version_spec import VersionDefaults
from modelserver.spec import VersionSpec
from tests.harness.management import LOAD_FAILURE
from tests.harness.management_case import ManagementCase


@frozen
class Installing:
    """Requirements that are installed when the test says so."""

    done: Deferred[VersionSpec]

    async def satisfy(self, spec: VersionSpec) -> VersionSpec:
        return await self.done


def _zip(folder: Path, archive: Path) -> None:
    import zipfile

    with zipfile.ZipFile(archive, "w") as container:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                container.write(path, path.relative_to(folder))


class RegisterTests(ManagementCase):
    """A registration, in order."""

    def test_a_version_without_workers(self) -> None:
        spec = self.register()
        self.assertEqual((spec.name, spec.version, spec.url), ("noop", "1.0", "noop.mar"))
        self.assertEqual(self.on.registry.get("noop").spec, spec)
        self.assertEqual(self.workers, [])
        self.assertEqual(len(self.on.changes), 1)

    def test_it_waits_for_its_workers(self) -> None:
        started = self.start(workers=2)
        self.assertNoResult(started)
        self.workers[0].load()
        self.assertNoResult(started)
        self.workers[1].load()
        self.assertEqual(self.successResultOf(started).workers.minimum, 2)

    def test_it_does_not_wait_when_the_caller_does_not(self) -> None:
        self.successResultOf(self.start(workers=1, synchronous=False))
        self.assertEqual(len(self.workers), 1)

    def test_workers_that_fail_take_everything_back(self) -> None:
        started = self.start(workers=2)
        self.workers[1].exit(LOAD_FAILURE)
        self.on.stage.turn()
        error = self.failureResultOf(started, WorkersFailed).value
        self.assertEqual(error.failure, LOAD_FAILURE)
        self.assertEqual(self.on.registry.names(), [])
        self.assertEqual(self.on.left_on_disk(), [])
        self.assertEqual(self.workers, [])
        self.assertEqual(self.on.changes, [])
        self.register()  # nothing is in the way

    def test_whoever_waits_when_the_server_stops_is_told_and_leaves_nothing(self) -> None:
        started = self.start(workers=1)
        self.on.management.preparer.awaited.stop()
        late = self.start(workers=1)
        for worker in self.workers:
            worker.exit()
        self.on.stage.turn()
        for each in (started, late):
            self.assertIn("stopping", str(self.failureResultOf(each, NoWorkers).value))
        self.assertEqual(self.on.registry.names(), [])
        self.assertEqual(self.on.left_on_disk(), [])

    def test_download_ends_when_the_server_stops(self) -> None:
        url, left = "https://models.example/slow.mar", list[object]()
        self.on.downloads.slow[url] = Deferred(left.append)
        started = self.start(url, name="slow")
        self.assertNoResult(started)
        self.on.management.preparer.awaited.stop()
        error = self.failureResultOf(started, NoWorkers).value
        self.assertEqual((error.model, error.reason), ("slow", "the server is stopping"))
        self.assertEqual((len(left), self.on.registry.names(), self.on.left_on_disk()), (1, [], []))

    def test_installation_ends_when_the_server_stops(self) -> None:
        installing: Deferred[VersionSpec] = Deferred()
        self.on.management.preparer = evolve(
            self.on.management.preparer, dependencies=cast(Dependencies, Installing(installing))
        )
        started = self.start()
        self.assertNoResult(started)
        self.on.management.preparer.awaited.stop()
        error = self.failureResultOf(started, NoWorkers).value
        self.assertEqual((error.model, error.reason), ("noop", "the server is stopping"))
        self.assertTrue(installing.called)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_workers_that_fail_later_are_not_the_registrations(self) -> None:
        self.successResultOf(self.start(workers=1, synchronous=False))
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        self.assertEqual(self.on.registry.names(), ["noop"])

    def test_a_version_that_gave_up_makes_room_for_its_registration(self) -> None:
        self.successResultOf(self.start(workers=1, synchronous=False))
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        self.register(workers=1)
        self.assertEqual(self.on.registry.get("noop").pool.ready, 1)
        self.failureResultOf(self.start(), VersionExists)

    def test_too_few_devices_take_everything_back(self) -> None:
        self.on = self.make(gpus=1, defaults=VersionDefaults(number_of_gpu=1))
        self.on.add_model("big", config="parallelType: pp\nparallelLevel: 2\n")
        self.failureResultOf(self.start("big", workers=1), NotEnoughDevices)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_what_is_no_archive_leaves_nothing(self) -> None:
        (self.on.store / "bad.mar").write_bytes(b"neither zip nor tar")
        self.failureResultOf(self.start("bad.mar"), ArchiveInvalid)
        self.failureResultOf(self.start("absent.mar"), ArchiveNotFound)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_a_manifest_with_a_bad_name_leaves_nothing(self) -> None:
        for number, (name, version) in enumerate(
            [("a/b", "1.0"), ("a", "1/0"), ("a" * 256, "1"), ("..", "1")]
        ):
            self.on.add_model(f"bad{number}", name, version)
            self.failureResultOf(self.start(f"bad{number}"), ArchiveInvalid)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_the_same_version_twice(self) -> None:
        self.register()
        self.failureResultOf(self.start(), VersionExists)
        self.assertEqual(len(self.on.left_on_disk()), 1)

    def test_one_of_two_at_once_wins(self) -> None:
        self.on.thread.holds = True
        both = [self.start(), self.start()]
        self.on.thread.run_all()
        self.successResultOf(both[0])
        self.failureResultOf(both[1], VersionExists)
        self.assertEqual(len(self.on.left_on_disk()), 1)

    def test_the_first_version_stays_the_default(self) -> None:
        self.on.add_model("second", "noop", "2.0")
        self.register()
        self.register("second")
        self.assertEqual(self.on.registry.get("noop").spec.version, "1.0")

    def test_a_failed_default_leaves_the_other_version(self) -> None:
        self.on.add_model("second", "noop", "2.0")
        started = self.start(workers=1)
        self.successResultOf(self.start("second"))
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        self.failureResultOf(started, WorkersFailed)
        self.assertEqual(self.on.registry.get("noop").spec.version, "2.0")

    def test_a_name_of_its_own(self) -> None:
        self.assertEqual(self.register(name="mine").name, "mine")

    def test_downloads_are_deleted_with_their_version(self) -> None:
        self.on.add_model("elsewhere", "far")
        source = self.on.folder / "source"
        (self.on.store / "elsewhere").rename(source)
        archive = self.on.folder / "far.mar"
        _zip(source, archive)
        self.on.downloads.files["https://example.org/far.mar"] = archive
        self.register("https://example.org/far.mar")
        self.assertTrue((self.on.store / "far.mar").exists())
        self.successResultOf(self.unregister("far"))
        self.assertFalse((self.on.store / "far.mar").exists())
        self.assertEqual(self.on.left_on_disk(), [])

    def test_one_version_only(self) -> None:
        self.on = self.make(dialect="mms")
        self.on.add_model("first", "noop", "1.0")
        self.on.add_model("second", "noop", "2.0")
        self.register("first")
        self.failureResultOf(self.start("second"), VersionExists)

    def test_a_folder_with_nothing_but_code(self) -> None:
        """As SageMaker has it: no manifest, a handler that the configuration names."""
        for dialect, inside in (("mms", ""), ("torchserve", "code")):
            self.on = self.make(dialect=dialect, defaults=VersionDefaults(handler="a.b.service"))
            (self.on.store / "model" / "code").mkdir(parents=True)
            spec = self.register("model", name="model")
            self.assertEqual(spec.handler, "a.b.service")
            self.assertEqual(spec.folder.resolve(), (self.on.store / "model" / inside).resolve())

    def test_only_models_of_the_start_lie_outside_the_store(self) -> None:
        self.on.add_model("noop")
        outside = (self.on.store / "noop").rename(self.on.folder / "outside")
        self.failureResultOf(self.start(str(outside)), ArchiveNotFound)
        self.assertEqual(self.register(str(outside), start_up=True).folder.resolve(), outside.resolve())

    def test_unregistered_while_it_waits_for_workers(self) -> None:
        started = self.start(workers=1)
        self.successResultOf(self.unregister())
        self.on.stage.turn()
        self.successResultOf(started)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))
