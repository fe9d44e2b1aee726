"""Workers that Ray has placed on faked nodes keep the contract of backends."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.task import deferLater

from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.local import LocalBackend
from modelserver.backends.ray.cluster import RayCluster
from modelserver.backends.ray.remote_process import RemoteProcess
from modelserver.interfaces import WorkerBackend
from modelserver.spec import WorkerSpec
from modelserver.version_settings.values import Placement
from tests.cluster.faked_nodes import FakedCluster
from tests.harness.backend_contract import BackendContract, RecordingEvents
from tests.harness.remote_nodes import make_remote_backend
from tests.integration.test_backends import ProcessCase

pytestmark = pytest.mark.slow
_started: list[FakedCluster] = []


def setUpModule() -> None:
    """Start one cluster for all tests."""
    _started.append(FakedCluster((2, 2)))


def tearDownModule() -> None:
    """End it."""
    while _started:
        _started.pop().end()


def _has_loaded(events: RecordingEvents) -> bool:
    return "loaded" in events.told


class RayBackendTests(ProcessCase, BackendContract):
    """The contract, and what only a cluster has to show."""

    __test__ = True
    timeout = 110

    def new_backend(self, local: LocalBackend) -> WorkerBackend:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        loop = getattr(reactor, "_asyncioEventloop", None) or ReactorLoop(reactor, reactor)
        cluster = RayCluster(_started[0].address, reactor, loop, reactor, dict(os.environ))
        backend = make_remote_backend(cluster, Path(folder.name))
        self.addCleanup(cluster.close)
        self.addCleanup(backend.close)
        return backend

    def placed_spec(self, worker: str, **placement: object) -> WorkerSpec:
        """An echo worker with a wish for its place."""
        spec = self.echo_spec(worker)
        version = evolve(spec.version, placement=Placement("ray", **placement))  # type: ignore[arg-type]
        return evolve(spec, version=version)

    async def loaded(self, spec: WorkerSpec) -> tuple[RecordingEvents, RemoteProcess]:
        """A worker that has loaded."""
        events = RecordingEvents()
        process = self.backend.launch(events, spec)
        assert isinstance(process, RemoteProcess)
        await events.when(lambda: "loaded" in events.told)
        return events, process

    async def test_workers_are_spread_over_nodes_or_packed_on_one(self) -> None:
        for strategy, nodes in (("spread", 2), ("pack", 1)):
            workers = []
            for number in range(2):
                spec = self.placed_spec(f"{number}", strategy=strategy)
                version = evolve(spec.version, name=strategy)
                workers.append(await self.loaded(evolve(spec, version=version)))
            self.assertEqual(nodes, len({process.place.node for _, process in workers}), strategy)
            for events, process in workers:
                await self.end(events, process)

    async def test_workers_that_are_launched_together_are_spread(self) -> None:
        launched = []
        for number in range(2):
            events = RecordingEvents()
            process = self.backend.launch(events, self.placed_spec(f"{number}", strategy="spread"))
            assert isinstance(process, RemoteProcess)
            launched.append((events, process))
        for events, _ in launched:
            await events.when(partial(_has_loaded, events))
        self.assertEqual(2, len({process.place.node for _, process in launched}))
        for events, process in launched:
            await self.end(events, process)

    async def test_resources_lead_to_their_node(self) -> None:
        first = await self.loaded(self.placed_spec("1", resources=(("CPU", 1.0), ("node0", 0.5))))
        second = await self.loaded(self.placed_spec("2", resources=(("CPU", 1.0), ("node1", 0.5))))
        self.assertNotEqual(first[1].place.node, second[1].place.node)
        self.assertNotEqual("", first[1].place.group)
        for events, process in (first, second):
            await self.end(events, process)

    async def test_worker_without_a_place_tells_what_was_asked_and_what_is_free(self) -> None:
        events = RecordingEvents()
        process = self.backend.launch(events, self.placed_spec("1", resources=(("CPU", 64.0),)))
        assert isinstance(process, RemoteProcess)
        while "free" not in process.place.reason:
            await deferLater(reactor, 0.05)
        self.assertIn("asked for CPU 64", process.place.reason)
        self.assertIn("CPU 2", process.place.reason)
        process.kill("startup timeout")
        await events.when(lambda: events.is_over)
        self.assertIn("asked for CPU 64", events.failures[0].text or "")

    async def test_share_comes_back(self) -> None:
        """Each of them needs a node's processors, and there are fewer nodes than workers."""
        for number in range(4):
            events, process = await self.loaded(
                self.placed_spec(f"{number}", resources=(("CPU", 2.0), ("node0", 1.0)))
            )
            await self.end(events, process)
