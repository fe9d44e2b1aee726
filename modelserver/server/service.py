"""The service that twistd runs: listens, loads the models of the start, and stops in order."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Protocol

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from modelserver.config.address import Address
from modelserver.config.settings import Settings
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.limits import (
    FEWEST_DESCRIPTORS,
    MOST_AT_OTHERS,
    MOST_RESERVED,
    Connections,
    ConnectionTimeouts,
    ListenerConnections,
    most_at_others,
    most_connections,
)
from modelserver.management.snapshots.restore import RestoreFailed
from modelserver.rest.route import ListenerRole
from modelserver.security.key_file import KeyFileInvalid
from modelserver.security.tokens import Tokens
from modelserver.server.access_summary import access_line, exposures, pages_line
from modelserver.server.announcer import Announcer
from modelserver.server.build import Core, build_core
from modelserver.server.fronts import make_factory
from modelserver.server.grpc import GrpcUnusable, absent_for_grpc, plan_grpc
from modelserver.server.inherited import SocketUnwanted
from modelserver.server.late import LateFactory
from modelserver.server.listeners import AddressListener
from modelserver.server.preloading import Preloading
from modelserver.server.refused_calls import refused_calls
from modelserver.server.repeating import Repeating
from modelserver.server.resources import Resources
from modelserver.server.startup import (
    ClusterMissing,
    LibraryMissing,
    StoreMissing,
    check_snapshot,
    require_cluster,
    require_libraries,
    require_store,
    start_models,
)
from modelserver.server.supervision import Supervision
from modelserver.server.tls.material import Tls, TlsUnusable
from modelserver.system.file_limits import TooFewDescriptors, allowed_descriptors
from modelserver.system.garbage import keep_for_ever
from modelserver.system.orphans import adopt_orphans

if TYPE_CHECKING:
    from modelserver.server.grpc_fronts import GrpcFronts

LAST_WRITES = 2.0
"""Seconds that clients have at the end to ask once more; answers may be taken while the drain lasts."""
RELOAD = 5.0
"""Seconds between two readings of the operator's key file."""

_log = Logger()


class Server(MultiService):
    """
    Owns the resources and the parts of a running server.

    :param environment: the environment variables that workers inherit.
    :param warnings: what the configuration warns of, logged at the start.
    :param to_console: log lines go to standard output, too.
    :param on_end: called when the server has given back what it took, also where its start fails.
    :param supervision: what has started the server, if it is to be told how it is, or has bound its ports.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: PosixReactorBase,
        environment: Mapping[str, str],
        warnings: tuple[str, ...],
        to_console: bool = False,
        on_end: Callable[[], object] = lambda: None,
        supervision: Supervision | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self.settings = settings
        self.setName("modelserver")  # type: ignore[no-untyped-call]  # Twisted's
        self._reactor = reactor
        self._environment = environment
        self._warnings = warnings
        self._to_console = to_console
        self._resources: Resources | None = None
        self._core: Core | None = None
        self._on_end = on_end
        self._supervision = supervision or Supervision()
        self._announcer: Announcer | None = None
        self._grpc: GrpcFronts | None = None
        self._ends_at_hang_up = False
        self._connections_of: dict[ListenerRole, ListenerConnections] = {}
        self.connections = Connections(
            reactor,
            ConnectionTimeouts(
                settings.idle_timeout,
                settings.header_timeout,
                body=settings.body_timeout,
                write=settings.write_timeout,
                rate=settings.minimum_body_rate,
            ),
            BodyMemory(settings.request_memory),
            settings.response_memory,
        )

    def privilegedStartService(self) -> None:
        """
        Bind all ports before anything else is started.

        :raises SystemExit: a port, a key file, a certificate, a snapshot or the model store cannot be used,
            or there are too few descriptors.
        """
        try:
            require_store(self.settings.model_store)
            require_store(self.settings.workflow_store, "--workflow-store")
            require_cluster(self.settings)
            require_libraries()
            core = self._prepare()
            super().privilegedStartService()  # type: ignore[no-untyped-call]  # Twisted's
            self._supervision.require_taken()
            if core.tokens is not None:
                self._start_tokens(core.tokens)
            check_snapshot(self.settings)
        except (
            OSError,
            GrpcUnusable,
            KeyFileInvalid,
            RestoreFailed,
            ClusterMissing,
            LibraryMissing,
            StoreMissing,
            SocketUnwanted,
            TlsUnusable,
            TooFewDescriptors,
        ) as error:
            self._give_back()
            raise SystemExit(f"modelserver: {error}") from error
        except BaseException:  # a defect, or the process is to end: it may go on without this server
            self._give_back()
            raise

    def _prepare(self) -> Core:
        if self._core is not None:
            return self._core
        # Kept at once: what follows may fail, or be interrupted.
        resources = self._resources = Resources.take(self.settings)
        core = build_core(self.settings, self._reactor, resources, self._environment, self._to_console)
        self._core = core
        core.telemetry.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's
        plan = plan_grpc(self.settings, absent_for_grpc)
        if plan.note is not None:
            self._warnings += (plan.note,)
        if core.dashboard is not None:
            core.dashboard.service.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's
        roles_by_address = self._roles()
        is_secure = any(address.is_tls for address in (*roles_by_address, *plan.addresses.values()))
        http_tls, grpc_tls = self._tls(core) if is_secure else (None, None)
        self._add_http(core, roles_by_address, http_tls)
        self._add_grpc(core, plan.addresses, grpc_tls)
        self._reactor.callWhenRunning(self._end_at_hang_up)
        Preloading(self._reactor).setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's
        return core

    def _tls(self, core: Core) -> tuple[Tls, Tls]:
        """Make what listeners of HTTPS and of gRPC over TLS need."""
        # Loaded where there is TLS: it takes a tenth of a second, and 10 MB.
        from modelserver.server.tls.context import identity, make_grpc_tls, make_tls

        shown = identity(self.settings)
        return make_tls(self.settings, shown, core.dialect), make_grpc_tls(self.settings, shown)

    def _add_http(
        self, core: Core, roles_by_address: Mapping[Address, set[ListenerRole]], tls: Tls | None
    ) -> None:
        for address, roles in roles_by_address.items():
            connections = self._listener_connections(roles)
            self._connections_of.update(dict.fromkeys(roles, connections))
            self._add_listener(
                core,
                address,
                partial(make_factory, core, address, roles, connections, self.connections.memory),
                tls,
            )

    def _add_grpc(self, core: Core, addresses: Mapping[str, Address], tls: Tls | None) -> None:
        """Add the gRPC listeners; each shares its connections' limit with the listener that does the same."""
        for side, address in addresses.items():
            make = partial(self._grpc_factory, core, side, self._connections_of[ListenerRole(side)])
            self._add_listener(core, address, partial(LateFactory, make), tls)

    def _grpc_factory(self, core: Core, side: str, connections: ListenerConnections) -> ServerFactory:
        # Loaded for the first client: many servers have none, though they listen by default.
        from modelserver.server.grpc_fronts import GrpcFronts

        if self._grpc is None:
            self._grpc = GrpcFronts.of(core, self.connections)
        return self._grpc.make_factory(side, connections)

    def _add_listener(
        self, core: Core, address: Address, make: Callable[[], ServerFactory], tls: Tls | None
    ) -> None:
        listener = AddressListener(
            address=address,
            make_factory=make,
            loop=core.runtime.loop,
            reactor=self._reactor,
            tls=tls if address.is_tls else None,
            inherited=self._supervision.sockets,
        )
        listener.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's

    def _listener_connections(self, roles: set[ListenerRole]) -> ListenerConnections:
        """Return the connections of one listener; predictions leave descriptors to everything else."""
        settings = self.settings
        limit = settings.max_connections
        descriptors = allowed_descriptors(max(limit + MOST_RESERVED, FEWEST_DESCRIPTORS))
        if descriptors < FEWEST_DESCRIPTORS:
            raise TooFewDescriptors(descriptors, FEWEST_DESCRIPTORS)
        if ListenerRole.INFERENCE in roles:
            limit = most_connections(limit, descriptors)
        else:
            limit = min(limit or MOST_AT_OTHERS, most_at_others(descriptors))
        return self.connections.for_listener(limit, settings.max_connections_per_address)

    def _start_tokens(self, tokens: Tokens) -> None:
        tokens.start()
        if tokens.given is not None:
            watch = Repeating(self._reactor, RELOAD, lambda: Deferred.fromCoroutine(tokens.reload()))
            watch.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's

    def _roles(self) -> dict[Address, set[ListenerRole]]:
        settings = self.settings
        roles: dict[Address, set[ListenerRole]] = {}
        roles.setdefault(settings.inference_address, set()).add(ListenerRole.INFERENCE)
        roles.setdefault(settings.management_address, set()).add(ListenerRole.MANAGEMENT)
        if settings.enable_metrics_api:
            roles.setdefault(settings.metrics_address, set()).add(ListenerRole.METRICS)
            if settings.is_shared_listener:
                roles[settings.inference_address].add(ListenerRole.METRICS)
        return roles

    def startService(self) -> None:
        """Listen, and load the models of the start."""
        core = self._prepare()
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        for warning in (*self._warnings, *core.tracing_warnings):
            _log.warn("{warning}", warning=warning)
        self._announcer = self._supervision.announcer(self._reactor, core.registry)
        self.connections.start()
        if core.tracing is not None:
            core.tracing.start()
        for watcher in _watchers(core):
            watcher.start()
        if adopt_orphans():
            core.runtime.orphans.start()
        keep_for_ever()
        self._log_who_may_ask(core)
        self._load_models(core)

    def _log_who_may_ask(self, core: Core) -> None:
        """Tell the log where the server listens, who may do what there, and what this system refuses."""
        for service in self:
            if isinstance(service, AddressListener):
                _log.info("Listening on {address}", address=str(service.bound))
        _log.info("{line}", line=access_line(self.settings))
        for line in refused_calls(core.slots is not None):
            _log.warn("{line}", line=line)
        pages = pages_line(self.settings)
        if pages is not None:
            _log.info("{line}", line=pages)
        for exposure in exposures(self.settings):
            _log.warn("{warning}", warning=exposure)

    def _load_models(self, core: Core) -> None:
        """Load the models of the start, and then tell who waits for that."""
        start_up = core.inference.start_up
        loading = Deferred.fromCoroutine(
            start_models(self.settings, core.loading, core.workflow_management, start_up, core.snapshots)
        )
        loading.addErrback(lambda failure: _log.failure("The models of the start", failure))
        loading.addCallback(lambda _: start_up.end())
        # As in TorchServe and MMS, models and snapshot are there when this line is logged: tools wait for it.
        loading.addCallback(lambda _: _log.info("Model server started."))
        if self._announcer is not None:
            self._announcer.start()
            loading.addCallback(lambda _, announcer: announcer.ready(), self._announcer)

    async def _end(self) -> None:
        if self._announcer is not None:
            self._announcer.stop()
        core = self._core
        if core is None:
            await self._stop_services()
            await self.connections.close(LAST_WRITES)
        else:
            self._end_at_next_signal(core)
            await core.draining.announce(self.settings.drain_lag)
            await self._stop_services()
            await self._drain(core)
            await _end_parts(core)
        self._give_back()

    async def _stop_services(self) -> None:
        """Stop listening, and what else is a service of this one."""
        stopped = super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if stopped is not None:
            await stopped

    async def _drain(self, core: Core) -> None:
        """Let the requests in progress end, and their clients take the answers, in the time to drain."""
        begun = self._reactor.seconds()
        core.management.preparer.awaited.stop()
        await core.draining.finish(self.settings.drain_timeout)
        # Before the models go: who asks until then is told that the server is stopping.
        left = 0.0 if core.draining.is_hurried else self.settings.drain_timeout
        await self.connections.close(LAST_WRITES, left - (self._reactor.seconds() - begun))

    def _end_at_next_signal(self, core: Core) -> None:
        """Handle the next signal: Twisted takes only the first."""

        def stop_now(number: int, frame: object) -> None:
            self._reactor.callFromThread(core.draining.stop_now)
            self._reactor.callFromThread(self.connections.hurry)

        for number in (signal.SIGTERM, signal.SIGINT, *((signal.SIGHUP,) if self._ends_at_hang_up else ())):
            signal.signal(number, stop_now)

    def _end_at_hang_up(self) -> None:
        """
        End in order, too, when the terminal is closed: as Java does, and Twisted does not.

        Not where it is ignored (``nohup``) or handled, nor where the reactor leaves signals to somebody else.
        """
        is_ours = signal.getsignal(signal.SIGTERM) == self._reactor.sigTerm
        if not is_ours or signal.getsignal(signal.SIGHUP) != signal.SIG_DFL:
            return

        def hang_up(number: int, frame: object) -> None:
            _log.info("Received SIGHUP, shutting down.")
            self._reactor._exitSignal = signal.SIGHUP  # twistd ends by the signal that it came by
            self._reactor.callFromThread(self._reactor.stop)

        signal.signal(signal.SIGHUP, hang_up)
        self._ends_at_hang_up = True

    def _give_back(self) -> None:
        resources, self._resources = self._resources, None
        if resources is not None:
            resources.give_back()
        if self._core is not None and self._core.tokens is not None:
            self._core.tokens.stop()
        self._on_end()

    def stopService(self) -> Deferred[None]:
        """Stop listening, finish the requests in progress, end the workers, remove the files."""
        return Deferred.fromCoroutine(self._end())


class _Watcher(Protocol):
    """What looks at processes, memory or devices at intervals."""

    def start(self) -> object: ...
    def stop(self) -> object: ...


def _watchers(core: Core) -> tuple[_Watcher, ...]:
    watchers = (core.memory_limits, core.idle_memory, core.gpu_health)
    return watchers if core.memory_watch is None else (*watchers, core.memory_watch)


async def _end_parts(core: Core) -> None:
    """End the workers, and what the server has had running beside its listeners."""
    for watcher in _watchers(core):
        watcher.stop()
    core.autoscaler.stop()
    if core.snapshots is not None:
        await core.snapshots.end()
    await core.management.close(keeps_downloads=core.snapshots is not None)
    await core.workflow_management.close(keeps_downloads=core.snapshots is not None)
    if core.cluster is not None:
        await core.cluster.close()
    core.runtime.orphans.stop()
    if core.tracing is not None:
        await core.tracing.end()
    core.telemetry.end()
