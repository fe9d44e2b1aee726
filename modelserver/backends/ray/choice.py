"""Which worker is started here, and which elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from modelserver.backends.ray.backend import RemoteBackend
from modelserver.interfaces import WorkerBackend, WorkerEvents, WorkerProcess
from modelserver.language.attributes import define
from modelserver.metrics.node_metrics import Nodes
from modelserver.spec import WorkerDescription, WorkerSpec


@define(eq=False)
class ChosenPlace:
    """
    Starts workers here or on other machines, as their versions' ``placement`` says.

    :param has_room: whether this machine has room for one more worker.
    :param leave: leaves the cluster.
    """

    here: WorkerBackend
    there: RemoteBackend
    has_room: Callable[[WorkerSpec], bool]
    leave: Callable[[], Deferred[None]]

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Start a worker."""
        where = spec.version.placement.where
        if where == "local" or (where == "auto" and self.has_room(spec)):
            return self.here.launch(events, spec)
        return self.there.launch(events, spec)

    def retire(self, name: str, version: str) -> None:
        """Nothing is kept for the version, here or there."""
        self.here.retire(name, version)
        self.there.retire(name, version)

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """The template of workers on this machine."""
        return self.here.describe(name, version)

    def nodes(self) -> Nodes:
        """Return what is known of the nodes that workers are on."""
        return self.there.services.accounts.nodes()

    async def close(self) -> None:
        """Listen for nodes no more, and leave the cluster: no worker is there any more."""
        self.there.close()
        await self.leave()
