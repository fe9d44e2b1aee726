"""What a service manager (systemd) and the server have to do with each other."""

from __future__ import annotations

from collections.abc import MutableMapping
from functools import partial

from twisted.internet.interfaces import IReactorTime

from modelserver.core.registry import Registry
from modelserver.language.attributes import frozen
from modelserver.server.announcer import Announcer
from modelserver.server.inherited import InheritedSockets, passed_descriptors
from modelserver.system.service_manager import ServiceManager


@frozen(eq=False)
class Supervision:
    """
    The manager that has started the server, if one has.

    :param manager: is told how the server is, or None.
    :param sockets: what it has bound, or None.
    """

    manager: ServiceManager | None = None
    sockets: InheritedSockets | None = None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], reactor: object) -> Supervision:
        """Read the manager's variables, and remove them: what the server starts must not find them."""
        manager = ServiceManager.from_environment(environment)
        return cls(manager, InheritedSockets.adopt(passed_descriptors(reactor, environment)))

    def announcer(self, clock: IReactorTime, registry: Registry) -> Announcer | None:
        """Return what tells the manager how the server is, or None where nobody wants to know."""
        if self.manager is None:
            return None
        return Announcer(self.manager, clock, partial(status_of, registry))

    def require_taken(self) -> None:
        """
        Refuse sockets that no listener has taken.

        :raises SocketUnwanted: there are such.
        """
        if self.sockets is not None:
            self.sockets.require_none()


def status_of(registry: Registry) -> str:
    """Return what people are shown of a server that runs."""
    versions = registry.all()
    wanted = sum(len(version.pool.workers) for version in versions)
    ready = sum(version.pool.ready for version in versions)
    return f"models: {len(versions)}, workers: {ready} of {wanted} ready"
