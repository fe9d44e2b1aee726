"""Builds what workers on other machines need. It is loaded where a cluster is configured."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from modelserver.backends.process import HostServices
from modelserver.backends.ray.backend import RemoteBackend
from modelserver.backends.ray.choice import ChosenPlace
from modelserver.backends.ray.cluster import RayCluster
from modelserver.backends.ray.identity import RunIdentity
from modelserver.backends.ray.listener import NodeListener
from modelserver.backends.ray.model_files import ModelFiles
from modelserver.backends.ray.remote_services import RemoteServices
from modelserver.config.settings import Settings
from modelserver.core.registry import Registry
from modelserver.interfaces import InThread, WorkerBackend
from modelserver.spec import WorkerSpec


def make_chosen_place(
    settings: Settings,
    machine: HostServices,
    here: WorkerBackend,
    folder: Path,
    in_thread: InThread,
    has_room: Callable[[WorkerSpec], bool],
) -> ChosenPlace:
    """
    Make the backend that starts workers here or on the cluster; nothing is joined yet.

    :param folder: of the server's own.
    """
    assert settings.ray_address is not None
    cluster = RayCluster(
        settings.ray_address, machine.spawner, machine.loop, machine.clock, machine.environment
    )
    identity = RunIdentity.make(datetime.now(timezone.utc))
    host, port = _split(settings.remote_address or "")
    remote = RemoteBackend(
        starter=cluster,
        listener=NodeListener(identity.server_context(), machine.loop, machine.clock, port),
        certificate=identity.certificate,
        services=RemoteServices(
            loop=machine.loop,
            clock=machine.clock,
            now=machine.now,
            slots=None if machine.slots is None else machine.slots.memory,
            silence=settings.remote_silence,
            lost=settings.remote_lost,
            output=machine.output,
        ),
        settings=settings.worker_settings(),
        files=ModelFiles(folder, in_thread),
        address=host,
        folder=folder,
        cache_size=settings.remote_cache_size,
    )
    return ChosenPlace(here, remote, has_room, cluster.close)


def _split(address: str) -> tuple[str, int]:
    """Split ``host``, ``host:port``, ``[v6]:port``; port 0 where there is none."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, int(rest[1:] or 0)
    host, _, port = address.partition(":")
    return host, int(port or 0)


def room_here(registry: Registry, processors: float) -> Callable[[WorkerSpec], bool]:
    """
    Return what says whether this machine has room for one more worker.

    Workers that are here hold the processors that their versions' ``resources`` name, one by default.
    """

    def has_room(spec: WorkerSpec) -> bool:
        taken = sum(
            version.spec.placement.amounts.get("CPU", 1.0)
            for version in registry.all()
            for worker in version.pool.workers
            if worker.in_flight.process is not None and worker.place is None
        )
        return taken + spec.version.placement.amounts.get("CPU", 1.0) <= processors

    return has_room
