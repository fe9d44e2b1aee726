"""The models of the start: what is loaded, by which names, and what readiness says of those that are not."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.loading import parse_properties
from modelserver.config.model_list import LoadList, StartupModel, parse_load_models
from modelserver.config.settings import Settings
from modelserver.core.queues.deadlines import Deadlines
from modelserver.errors import ModelNotFound, NoWorkers, WorkerFailure
from modelserver.inference.health import LoadStatus, unready_models
from modelserver.inference.predict import Inference
from modelserver.jobs import Inputs
from modelserver.management.descriptions import describe_version
from modelserver.management.registration import RegisterRequest
from modelserver.management.snapshots.format import Snapshot, SnapshotVersion, newest_snapshot, parse_snapshot
from modelserver.management.snapshots.restore import RestoreFailed, check_archives
from modelserver.management.snapshots.writer import Snapshots
from modelserver.management.version_spec import VersionDefaults
from modelserver.server.startup import archives_in, models_to_load, name_of, start_models
from modelserver.testing import START_OF_TIME, CollectingObserver
from tests.harness.management import ManagementStage

BROKEN = WorkerFailure("load", 0.0, exception="ImportError", text="no module", permanent=True)


class NameTests(SynchronousTestCase):
    """Names of models whose archives have none."""

    def test_last_part_without_its_ending(self) -> None:
        for location, name in (
            ("noop.mar", "noop"),
            ("sub/noop.mar", "noop"),
            ("https://example.org/a/res-net.v1.mar?token=x/y.z", "res_net_v1"),
            ("noop.tar.gz", "noop"),
            ("noop", "noop"),
            ("noop/", "noop"),
            ("s3://bucket/über.mar", "_ber"),
        ):
            self.assertEqual(name_of(location), name, location)


class StoreTests(SynchronousTestCase):
    """What ALL means."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Path(folder.name)
        for name in ("b.mar", "a.model", "c.tar.gz", "readme.txt", ".hidden.mar"):
            (self.store / name).touch()
        for name in ("folder", ".git"):
            (self.store / name).mkdir()

    def test_archives_and_folders_but_no_hidden_ones(self) -> None:
        self.assertEqual(archives_in(self.store), ["a.model", "b.mar", "c.tar.gz", "folder"])

    def test_the_older_peer_knows_no_tar_archives(self) -> None:
        self.assertEqual(archives_in(self.store, "mms"), ["a.model", "b.mar", "folder"])

    def test_no_store_has_none(self) -> None:
        self.assertEqual(archives_in(None), [])
        self.assertEqual(archives_in(self.store / "nope"), [])

    def test_load_list(self) -> None:
        everything = Settings(model_store=self.store, load_models=LoadList(everything=True))
        self.assertEqual([model.url for model in models_to_load(everything)], archives_in(self.store))
        some = Settings(load_models=parse_load_models("x=a.mar, b.mar"))
        self.assertEqual(models_to_load(some), (StartupModel("x", "a.mar"), StartupModel(None, "b.mar")))


class StartCase(SynchronousTestCase):
    """A start over workers in memory."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.on = ManagementStage(self.folder, defaults=VersionDefaults(startup_workers=1))
        self.start_up = LoadStatus()
        self.snapshots = Snapshots(
            self.folder / "config",
            {"model_store": "store", "keystore_pass": "hush"},
            lambda: [],
            self.on.stage.now,
            self.on.thread,
            self.on.stage.call_soon,
        )
        self.follow(self.snapshots)

    def follow(self, snapshots: Snapshots) -> None:
        """Let this one know of changes, and see what is registered."""
        registry = self.on.registry
        snapshots.versions = lambda: [
            describe_version(each, registry.is_default(each)) for each in registry.all()
        ]
        self.on.management.changed = snapshots.changed

    def begin(
        self, models: str = "", snapshot: Snapshot | None = None, parallelism: int = 4
    ) -> Deferred[None]:
        settings = Settings(
            model_store=self.on.store,
            load_models=parse_load_models(models),
            model_snapshot=snapshot,
            startup_parallelism=parallelism,
        )
        return Deferred.fromCoroutine(
            start_models(settings, self.on.management, self.start_up, self.snapshots)
        )

    @property
    def unready(self) -> list[str]:
        return unready_models(self.on.registry, self.start_up)

    @property
    def served(self) -> list[str]:
        return self.on.registry.names()

    def written(self) -> list[str]:
        """The occasions of the snapshots on disk, in order."""
        folder = self.folder / "config"
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        return [name.rpartition("-")[2].removesuffix(".cfg") for name in names]

    def newest(self) -> Snapshot:
        path = newest_snapshot(self.folder / "config")
        assert path is not None
        return parse_snapshot(parse_properties(path.read_text("ascii"))["model_snapshot"])


class LoadTests(StartCase):
    """``load_models``."""

    def test_models_are_loaded_and_told_to_be_of_the_start(self) -> None:
        self.on.add_model("noop.mar", "noop")
        started = self.begin("noop.mar,other=noop.mar")
        self.assertEqual(self.unready, ["noop", "other"])
        self.on.load_all()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), (["noop", "other"], []))
        self.assertTrue(self.on.registry.get("noop").spec.loaded_at_startup)
        self.assertEqual(self.on.registry.get("noop").pool.ready, 1)

    def test_whoever_asks_for_one_that_is_on_its_way_is_told_so(self) -> None:
        self.on.add_model("noop.mar", "noop")
        clock = self.on.stage.clock
        inference = Inference(
            self.on.registry, Deadlines(clock), clock, self.on.stage.recorder, bytes, self.start_up
        )
        self.on.thread.holds = True
        self.begin("noop.mar,nope.mar")
        over = self.start_up.when_over()
        self.assertNoResult(over)
        for name, error in (("noop", NoWorkers), ("nope", NoWorkers), ("other", ModelNotFound)):
            with self.assertRaises(error):
                inference.predict(name, None, Inputs(b"", b"", b"x"), CollectingObserver())
        self.on.thread.holds = False
        self.on.thread.run_all()
        self.successResultOf(over)
        self.assertEqual(self.served, ["noop"])
        inference.predict("noop", None, Inputs(b"", b"", b"x"), CollectingObserver())
        with self.assertRaises(ModelNotFound):
            inference.predict("nope", None, Inputs(b"", b"", b"x"), CollectingObserver())

    def test_a_start_that_breaks_off_is_over(self) -> None:
        self.start_up.expect(["noop"])
        over = self.start_up.when_over()
        self.assertNoResult(over)
        self.start_up.end()
        self.successResultOf(over)
        self.assertEqual(self.unready, ["noop"])
        self.assertFalse(self.start_up.is_coming("noop"))

    def test_downloads_that_a_killed_server_has_left_go_first(self) -> None:
        self.on.add_model("noop.mar", "noop")
        (self.on.store / ".far.mar.0123abcd.part").touch()
        self.begin("ALL")
        self.assertEqual([path.name for path in self.on.store.iterdir()], ["noop.mar"])
        self.assertEqual(self.served, ["noop"])

    def test_an_archive_without_a_name_is_named_after_its_file(self) -> None:
        self.on.add_model("my-model.mar", "x", modelName=None)
        self.begin("my-model.mar")
        self.assertEqual(self.served, ["my_model"])

    def test_one_that_cannot_be_opened_is_named_and_the_others_serve(self) -> None:
        self.on.add_model("noop.mar", "noop")
        started = self.begin("nope.mar,noop.mar")
        self.on.load_all()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), (["noop"], ["nope"]))

    def test_one_whose_workers_fail_stays_and_is_named(self) -> None:
        self.on.add_model("noop.mar", "noop")
        self.on.add_model("bad.mar", "bad")
        started = self.begin("bad.mar,noop.mar")
        self.on.stage.turn()
        workers = {worker.spec.version.name: worker for worker in self.on.stage.backend.workers}
        workers["noop"].load()
        workers["bad"].exit(BROKEN)
        self.on.stage.turn()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), (["bad", "noop"], ["bad"]))

    def test_one_that_is_registered_later_is_missed_no_more(self) -> None:
        self.start_up.failed("noop", "not there yet")
        self.assertEqual(self.unready, ["noop"])
        self.on.add_model("noop.mar", "noop")
        self.begin("noop.mar")
        self.on.load_all()
        self.assertEqual(self.unready, [])

    def test_some_load_at_a_time(self) -> None:
        for name in "abc":
            self.on.add_model(f"{name}.mar", name)
        started = self.begin("a.mar,b.mar,c.mar", parallelism=2)
        self.on.stage.turn()
        self.assertEqual(len(self.on.stage.backend.workers), 2)
        self.assertEqual(self.unready, ["a", "b", "c"])
        self.on.stage.backend.workers[0].load()
        self.on.stage.turn()
        self.assertEqual(len(self.on.stage.backend.workers), 3)
        self.on.load_all()
        self.successResultOf(started)

    def test_one_that_is_unregistered_while_it_loads_holds_nothing_up(self) -> None:
        self.on.add_model("noop.mar", "noop")
        started = self.begin("noop.mar")
        self.on.stage.turn()
        ended = Deferred.fromCoroutine(self.on.management.unregister("noop"))
        self.on.stage.turn()
        self.successResultOf(ended)
        self.successResultOf(started)


class WriteTests(StartCase):
    """When snapshots are written, and what is in them."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")
        self.started = self.begin("noop.mar")

    def finish(self) -> None:
        self.on.load_all()
        self.successResultOf(self.started)

    def test_nothing_while_models_load(self) -> None:
        self.on.stage.turn()
        self.assertEqual(self.written(), [])
        self.finish()
        self.assertEqual(self.written(), ["startup"])

    def test_changes_of_one_turn_are_one_snapshot(self) -> None:
        self.finish()
        self.on.stage.clock.advance(1)
        told = [self.snapshots.changed(), self.snapshots.changed()]
        self.on.stage.turn()
        self.assertEqual(self.written(), ["startup", "snapshot"])
        for each in told:
            self.successResultOf(each)

    def test_each_of_two_within_a_millisecond_is_written(self) -> None:
        self.finish()
        for _ in range(2):
            self.snapshots.changed()
            self.on.stage.turn()
        self.assertEqual(self.written(), ["startup", "snapshot", "snapshot"])

    def test_an_answer_waits_until_its_change_is_on_disk(self) -> None:
        self.finish()
        self.on.add_model("second", "noop", "2.0")
        self.on.thread.holds = True
        request = RegisterRequest("second")
        registered = Deferred.fromCoroutine(self.on.management.register(request))
        self.on.stage.turn()
        while self.on.thread.calls:
            self.assertNoResult(registered)
            self.on.thread.run_all()
            self.on.stage.turn()
        self.successResultOf(registered)
        self.assertEqual(set(self.newest().models["noop"]), {"1.0", "2.0"})

    def test_they_hold_the_models_and_the_properties(self) -> None:
        self.finish()
        versions = self.newest().models
        self.assertEqual(versions["noop"]["1.0"].archive, "noop.mar")
        self.assertTrue(versions["noop"]["1.0"].is_default)
        (file,) = (self.folder / "config").iterdir()
        self.assertIn("keystore_pass=hush", file.read_text("ascii"))
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)

    def test_are_in_order_and_on_disk_at_the_end(self) -> None:
        self.finish()
        self.on.thread.holds = True
        for _ in range(2):
            self.on.stage.clock.advance(1)
            self.snapshots.changed()
            self.on.stage.turn()
        self.on.stage.clock.advance(1)
        ended = Deferred.fromCoroutine(self.snapshots.end())
        self.assertNoResult(ended)
        self.assertEqual(len(self.on.thread.calls), 1)
        self.on.thread.run_all()
        self.successResultOf(ended)
        self.assertEqual(self.written(), ["startup", "snapshot", "snapshot", "shutdown"])

    def test_nothing_after_the_end(self) -> None:
        self.finish()
        self.on.stage.clock.advance(1)
        self.successResultOf(Deferred.fromCoroutine(self.snapshots.end()))
        self.snapshots.changed()
        self.on.stage.turn()
        self.assertEqual(self.written(), ["startup", "shutdown"])

    def test_an_end_while_models_load_writes_nothing(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.snapshots.end()))
        self.assertEqual(self.written(), [])

    def test_a_folder_that_cannot_be_written_stops_nothing(self) -> None:
        (self.folder / "config").touch()
        self.finish()
        self.successResultOf(Deferred.fromCoroutine(self.snapshots.end()))


class RestoreTests(StartCase):
    """All of a snapshot, or nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("one.mar", "inner-name", "1.0")
        self.on.add_model("two.mar", "inner-name", "2.0")
        self.on.add_model("other.mar", "other", "1.0")

    def snapshot(self, other: str = "other.mar", other_version: str = "1.0") -> Snapshot:
        return Snapshot(
            "20260101000000000-startup.cfg",
            START_OF_TIME,
            {
                "model": {
                    "1.0": SnapshotVersion("one.mar", min_workers=0, max_workers=0),
                    "2.0": SnapshotVersion(
                        "two.mar",
                        is_default=True,
                        min_workers=2,
                        max_workers=3,
                        batch_size=4,
                        response_timeout=7.0,
                    ),
                },
                "other": {other_version: SnapshotVersion(other, is_default=True)},
            },
        )

    def test_everything_is_as_it_was(self) -> None:
        started = self.begin(snapshot=self.snapshot())
        self.on.load_all()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), (["model", "other"], []))
        version = self.on.registry.get("model")
        self.assertEqual((version.spec.version, version.pool.minimum, version.pool.maximum), ("2.0", 2, 3))
        self.assertEqual((version.spec.batch_size, version.spec.timeouts.response), (4, 7.0))
        self.assertEqual(self.on.registry.get("model", "1.0").pool.minimum, 0)
        self.assertEqual(self.newest().models, self.snapshot().models)

    def far(self) -> Snapshot:
        """The snapshot, with one of its archives from the web."""
        snapshot = self.snapshot()
        url = "https://example.org/other.mar"
        far = {"other": {"1.0": SnapshotVersion("other.mar", is_default=True, url=url)}}
        return evolve(snapshot, models={**snapshot.models, **far})

    def test_what_was_downloaded_is_still_a_download(self) -> None:
        started = self.begin(snapshot=self.far())
        self.on.load_all()
        self.successResultOf(started)
        spec = self.on.registry.get("other").spec
        self.assertEqual(
            (spec.url, self.newest().models), ("https://example.org/other.mar", self.far().models)
        )
        ended = Deferred.fromCoroutine(self.on.management.unregister("other"))
        self.on.stage.turn()
        self.successResultOf(ended)
        self.assertFalse((self.on.store / "other.mar").exists())

    def test_what_was_downloaded_stays_if_the_others_cannot_be_restored(self) -> None:
        broken = {"model": {"1.0": SnapshotVersion("broken.mar", is_default=True)}}
        (self.on.store / "broken.mar").write_bytes(b"no archive")
        self.assert_nothing_restored(evolve(self.far(), models={**self.far().models, **broken}))
        self.assertTrue((self.on.store / "other.mar").exists())

    def test_a_missing_archive_stops_the_start(self) -> None:
        check_archives(self.snapshot(), self.on.store)
        self.assertRaises(RestoreFailed, check_archives, self.snapshot(), None)
        error = self.assertRaises(RestoreFailed, check_archives, self.snapshot("nope.mar"), self.on.store)
        self.assertEqual(
            str(error), "Model archive file for model :other, version :1.0 not found in model store"
        )

    def assert_nothing_restored(self, snapshot: Snapshot) -> None:
        started = self.begin(snapshot=snapshot, parallelism=1)
        self.on.load_all()
        self.on.load_all()
        self.on.stage.turn()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), ([], ["model", "other"]))
        self.assertEqual(self.on.left_on_disk(), [])
        self.assertEqual(self.written(), [])

    def test_one_that_cannot_be_opened_takes_the_others_with_it(self) -> None:
        (self.on.store / "broken.mar").write_bytes(b"no archive")
        self.assert_nothing_restored(self.snapshot("broken.mar"))

    def test_one_that_is_another_version_now_takes_the_others_with_it(self) -> None:
        self.assert_nothing_restored(self.snapshot(other_version="3.0"))

    def test_what_was_not_restored_is_still_the_newest_until_somebody_changes_something(self) -> None:
        started = self.begin(snapshot=self.snapshot(other_version="3.0"), parallelism=1)
        self.on.load_all()
        self.on.load_all()
        self.on.stage.turn()
        self.successResultOf(started)
        self.snapshots.changed()
        self.on.stage.turn()
        self.assertEqual(self.written(), ["snapshot"])

    def test_workers_that_do_not_load_are_no_reason(self) -> None:
        started = self.begin(snapshot=self.snapshot())
        self.on.stage.turn()
        for worker in self.on.stage.backend.workers:
            worker.exit(BROKEN) if worker.spec.version.name == "other" else worker.load()
        self.on.stage.turn()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), (["model", "other"], ["other"]))

    def test_an_empty_one_is_no_error(self) -> None:
        self.successResultOf(self.begin(snapshot=Snapshot("x", START_OF_TIME, {})))
        self.assertEqual((self.served, self.unready, self.written()), ([], [], ["startup"]))
