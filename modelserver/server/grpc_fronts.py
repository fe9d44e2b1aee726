"""Builds what serves a gRPC port: its services, and what makes its connections."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.http1.limits import Connections, ListenerConnections
from modelserver.language.attributes import frozen
from modelserver.rpc.call_log import CallLog
from modelserver.rpc.engines.choice import load_engine
from modelserver.rpc.factory import RpcFactory
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.interfaces import CallSite
from modelserver.rpc.limits import RpcLimits
from modelserver.rpc.methods import METHODS
from modelserver.rpc.predictions import AnswerRules
from modelserver.rpc.site import Site, SiteRules, UseCases, make_sites
from modelserver.rpc.tracing import TracedSite
from modelserver.server.answering import (
    allows_registering,
    log_failure,
    make_gate,
    make_health,
    make_repository,
)
from modelserver.server.build import Core
from modelserver.server.tracing import trace_id_of


@frozen(eq=False)
class GrpcFronts:
    """
    Makes the factories of both listeners.

    :param connections: of all listeners.
    :param sites: the services of each listener.
    """

    core: Core
    connections: Connections
    make_engine: EngineMaker
    sites: Mapping[str, Site]

    @classmethod
    def of(cls, core: Core, connections: Connections) -> GrpcFronts:
        """Load the engine, and make the services."""
        return cls(core, connections, load_engine(), _make_sites(core))

    def make_factory(self, side: str, counted: ListenerConnections) -> RpcFactory:
        """
        Return what makes the connections of a listener.

        :param side: ``inference`` or ``management``.
        :param counted: counts the listener's connections against their limits.
        """
        settings, runtime = self.core.settings, self.core.runtime
        return RpcFactory(
            site=self._site(side),
            clock=runtime.reactor,
            run_soon=runtime.events.call_soon,
            connections=counted,
            make_engine=self.make_engine,
            limits=RpcLimits(
                max_age=getattr(settings, f"grpc_{side}_max_connection_age"),
                age_grace=getattr(settings, f"grpc_{side}_max_connection_age_grace"),
                idle=settings.grpc_max_connection_idle,
            ),
            timeouts=self.connections.timeouts,
            memory=self.connections.memory,
            slots=self.core.slots,
        )

    def _site(self, side: str) -> CallSite:
        tracing = self.core.tracing
        return self.sites[side] if tracing is None else TracedSite(self.sites[side], tracing.tracer)


def _make_sites(core: Core) -> Mapping[str, Site]:
    settings = core.settings
    cases = UseCases(
        inference=core.inference,
        management=core.management,
        health=make_health(core),
        dialect=core.dialect,
        gate=make_gate(core),
        clock=core.runtime.reactor,
        repository=make_repository(core),
        figures=core.telemetry.recorder.figures,
        slots=core.slots,
        workflows=core.workflows,
    )
    rules = SiteRules(
        largest=settings.max_request_size,
        answers=AnswerRules(maps_status=settings.grpc_map_status, largest=settings.max_response_size),
        allows_registering=allows_registering(core),
        has_open_inference=settings.has_grpc_open_inference,
        repository_at_inference=settings.repository_at_inference,
    )
    telemetry = core.telemetry
    paths = [row.path for row in METHODS]
    calls = CallLog(telemetry.logs.access, telemetry.recorder, paths, trace_id_of(core.tracing))
    return make_sites(cases, rules, calls, log_failure)
