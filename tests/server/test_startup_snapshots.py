"""The models of the start and snapshots: what is written, and what is restored."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from modelserver.management.requests import RegisterRequest
from modelserver.management.snapshots.format import Snapshot, SnapshotVersion
from modelserver.management.snapshots.restore import RestoreFailed, check_archives
from modelserver.testing.providers import START_OF_TIME
from tests.harness.management import LOAD_FAILURE
from tests.harness.startup import StartCase


class WriteTests(StartCase):
    """When snapshots are written, and what is in them."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")
        self.on.thread.holds = True
        self.started = self.begin("noop.mar")

    def finish(self) -> None:
        self.on.thread.run_all()
        self.on.load_all()
        self.successResultOf(self.started)

    def test_nothing_while_models_are_not_registered(self) -> None:
        self.on.stage.turn()
        self.assertEqual(self.written(), [])
        self.finish()
        self.assertEqual(self.written(), ["startup"])

    def test_the_start_is_over_when_its_snapshot_is_on_disk(self) -> None:
        """Scripts look for the file when ``Model server started.`` is logged."""
        while self.on.thread.calls:
            self.assertNoResult(self.started)
            self.on.thread.calls.pop(0)()
        self.successResultOf(self.started)
        self.assertEqual(self.on.registry.get("noop").pool.ready, 0)
        self.assertEqual(self.written(), ["startup"])

    def test_only_the_newest_are_kept(self) -> None:
        self.snapshots.kept = 2
        self.finish()
        for _ in range(3):
            self.on.stage.clock.advance(1)
            self.snapshots.changed()
            self.on.stage.turn()
        self.assertEqual(self.written(), ["snapshot", "snapshot"])

    def test_a_folder_that_cannot_be_written_is_told_of_once(self) -> None:
        (self.folder / "config").touch()
        with capturedLogs() as events:
            self.finish()
            for _ in range(3):
                self.on.stage.clock.advance(1)
                self.snapshots.changed()
                self.on.stage.turn()
        told = [formatEvent(event) for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(len(told), 1, told)
        self.assertIn("Snapshots cannot be written to", told[0])

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
        self.assertEqual((version.spec.batching.size, version.spec.timeouts.response), (4, 7.0))
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
        check_archives(self.snapshot(), self.on.store, None)
        self.assertRaises(RestoreFailed, check_archives, self.snapshot(), None, None)
        missing = self.snapshot("nope.mar")
        error = self.assertRaises(RestoreFailed, check_archives, missing, self.on.store, None)
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
            worker.exit(LOAD_FAILURE) if worker.spec.version.name == "other" else worker.load()
        self.on.stage.turn()
        self.successResultOf(started)
        self.assertEqual((self.served, self.unready), (["model", "other"], ["other"]))

    def test_an_empty_one_is_no_error(self) -> None:
        self.successResultOf(self.begin(snapshot=Snapshot("x", START_OF_TIME, {})))
        self.assertEqual((self.served, self.unready, self.written()), ([], [], ["startup"]))
