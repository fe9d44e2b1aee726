"""``load=on_request``: archives of the store are known at the start, and come back so from a snapshot."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from modelserver.config.settings import Settings
from modelserver.core.gpus import Devices
from modelserver.core.quarantine import Quarantine
from modelserver.devices import HOST, Bank
from modelserver.management.snapshots.format import Snapshot, SnapshotVersion
from modelserver.server.memory import make_memory
from modelserver.system.memory_total import MemoryAmount, MemoryUnreadable
from modelserver.testing.providers import FakeInventory
from tests.harness.startup import StartCase


class OnRequestStartTests(StartCase):
    """Models of the start that are loaded by their first requests."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")
        self.on.add_model("two.mar", "two")

    def state(self, name: str) -> str:
        presence = self.on.registry.get(name).presence
        return "" if presence is None else presence.value

    def test_all_archives_are_known_and_none_is_loaded(self) -> None:
        self.successResultOf(self.begin("all", load="on_request"))
        self.on.stage.turn()
        self.assertEqual((self.served, self.unready), (["noop", "two"], []))
        self.assertEqual([self.state(name) for name in self.served], ["known", "known"])
        self.assertEqual((self.on.stage.backend.workers, self.on.left_on_disk()), ([], []))

    def test_what_is_written_comes_back(self) -> None:
        self.successResultOf(self.begin("all", load="on_request"))
        version = self.on.registry.get("two")
        version.pool.scale(1, 1)
        self.on.load_all()
        self.snapshots.changed()
        self.on.stage.turn()
        models = self.newest().models
        self.assertEqual(
            {name: versions["1.0"].is_on_request for name, versions in models.items()},
            {"noop": True, "two": False},
        )

    def test_versions_of_a_snapshot_that_were_not_in_memory_are_known_only(self) -> None:
        there = SnapshotVersion("noop.mar", is_default=True)
        away = evolve(there, archive="two.mar", is_on_request=True, min_workers=2, max_workers=3)
        snapshot = Snapshot("x", 0.0, {"noop": {"1.0": there}, "two": {"1.0": away}})
        started = self.begin(snapshot=snapshot)
        self.on.load_all()
        self.successResultOf(started)
        self.assertEqual((self.state("noop"), self.state("two")), ("", "known"))
        self.assertEqual(self.on.registry.get("noop").pool.ready, 1)
        workers = self.on.registry.get("two").spec.workers
        self.assertEqual((workers.minimum, workers.maximum), (2, 3))

    def test_one_that_cannot_be_read_is_told_of(self) -> None:
        (self.on.store / "bad.mar").write_bytes(b"nothing")
        self.successResultOf(self.begin("all", load="on_request"))
        self.assertEqual((self.served, self.unready), (["noop", "two"], ["bad"]))


class MemoryLimitTests(StartCase):
    """What the configuration makes of ``model_memory_limit``."""

    def limits(self, inventory: FakeInventory | None = None, **settings: Any) -> dict[Bank, int]:
        gpus = inventory or FakeInventory()
        devices = Devices(gpus.number, Quarantine(lambda: 0.0))
        made = make_memory(Settings(**settings), self.on.registry, devices, gpus, lambda: 0.0, lambda: 1000)
        return {} if made is None else made.limits

    def limit(self, **settings: Any) -> int | None:
        return self.limits(**settings).get(HOST)

    def test_there_is_none_unless_somebody_asks_for_it(self) -> None:
        self.assertIsNone(self.limit())

    def test_on_request_it_is_80_per_cent_unless_it_is_given_or_off(self) -> None:
        self.assertEqual(self.limit(load="on_request"), 800)
        self.assertEqual(self.limit(load="on_request", model_memory_limit=MemoryAmount(size=5)), 5)
        self.assertIsNone(self.limit(load="on_request", model_memory_limit=MemoryAmount()))

    def test_a_share_is_of_what_there_is(self) -> None:
        self.assertEqual(self.limit(model_memory_limit=MemoryAmount(share=0.25)), 250)

    def test_where_that_cannot_be_read_there_is_none(self) -> None:
        def unreadable() -> int:
            raise MemoryUnreadable("no /proc")

        settings, gpus = Settings(load="on_request"), FakeInventory()
        devices = Devices(0, Quarantine(lambda: 0.0))
        made = make_memory(settings, self.on.registry, devices, gpus, lambda: 0.0, unreadable)
        self.assertIsNone(made)

    def test_gpus_have_one_only_if_it_is_set(self) -> None:
        gpus = FakeInventory(2, totals={0: 1000, 1: 4000})
        self.assertEqual(self.limits(gpus), {})
        self.assertEqual(self.limits(gpus, gpu_memory_limit=MemoryAmount()), {})
        self.assertEqual(self.limits(gpus, gpu_memory_limit=MemoryAmount(size=7)), {0: 7, 1: 7})
        self.assertEqual(self.limits(gpus, gpu_memory_limit=MemoryAmount(share=0.5)), {0: 500, 1: 2000})
        self.assertEqual(
            self.limits(gpus, gpu_memory_limit=MemoryAmount(size=7), model_memory_limit=MemoryAmount(size=9)),
            {HOST: 9, 0: 7, 1: 7},
        )
        self.assertEqual(self.limits(gpu_memory_limit=MemoryAmount(size=7)), {}, "there is no GPU")

    def test_a_gpu_whose_driver_does_not_tell_its_memory_has_no_share_of_it(self) -> None:
        gpus = FakeInventory(2, totals={1: 4000})
        self.assertEqual(self.limits(gpus, gpu_memory_limit=MemoryAmount(share=0.5)), {1: 2000})
