"""The models of the start: what is loaded, by which names, and what readiness says of those that are not."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.model_list import LoadList, StartupModel, parse_load_models
from modelserver.config.settings import Settings
from modelserver.core.queues.deadlines import Deadlines
from modelserver.errors import ModelNotFound, NoWorkers
from modelserver.inference.predict import Inference
from modelserver.jobs import Inputs
from modelserver.server.startup import (
    LibraryMissing,
    archives_in,
    models_to_load,
    name_of,
    require_libraries,
)
from modelserver.testing.providers import CollectingObserver
from tests.harness.management import LOAD_FAILURE
from tests.harness.startup import StartCase


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


class LibrariesTests(SynchronousTestCase):
    """What is loaded later must be there at the start."""

    def test_what_is_installed(self) -> None:
        require_libraries()
        for module, package in (("automat", "Automat"), ("yaml", "PyYAML")):
            with self.subTest(module):
                error = self.assertRaises(
                    LibraryMissing, require_libraries, {"automat": 1, "yaml": 1, module: None}.get
                )
                self.assertIn(f"pip install {package}", str(error))


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
        over = self.begin("noop.mar,nope.mar")
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
        self.assertTrue(self.start_up.is_coming("noop"))
        self.start_up.end()
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
        workers["bad"].exit(LOAD_FAILURE)
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
