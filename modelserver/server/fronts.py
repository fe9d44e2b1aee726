"""Builds what serves a port: the endpoint that serves predictions, and what stands for other routes."""

from __future__ import annotations

import os
from collections.abc import Collection

from twisted.web.resource import IResource

from modelserver.config.address import Address
from modelserver.core.ids import Entropy
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.factory import ConnectionFactory
from modelserver.http1.states import ConnectionLimits
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from modelserver.rest.inference.traced import TracedEndpoint
from modelserver.rest.route import ListenerRole
from modelserver.rest.tracing import HttpTracing, TracedResource
from modelserver.security.authorization import Authorizer
from modelserver.server.answering import cors_headers, log_failure, make_gate
from modelserver.server.build import Core
from modelserver.server.late import LateResource


def make_factory(
    core: Core,
    address: Address,
    roles: Collection[ListenerRole],
    connections: ConnectionLimits,
    memory: BodyMemory,
) -> ConnectionFactory:
    """
    Return what makes the connections of one port.

    :param address: where the port is.
    :param roles: what the port is for.
    :param connections: counts the port's connections against their limits.
    :param memory: what the bodies of requests may take together, at all ports.
    """
    gate = make_gate(core)
    endpoint = _make_endpoint(core, gate, serves_plain=ListenerRole.INFERENCE in roles)
    tracing = (
        None
        if core.tracing is None
        else HttpTracing(core.tracing.tracer, "https" if address.is_tls else "http")
    )

    def make_routes() -> IResource:
        # Loaded for the first request that is no plain prediction: Klein and all that routes lead to.
        from modelserver.server.routes import make_resource

        return make_resource(core, address, roles, endpoint)

    resource = LateResource(make_routes)
    return ConnectionFactory(
        resource if tracing is None else TracedResource(resource, tracing),
        handler=endpoint if tracing is None else TracedEndpoint(endpoint, tracing),
        run_soon=core.runtime.events.call_soon,
        connections=connections,
        log_failure=log_failure,
        memory=memory,
    )


def _make_endpoint(core: Core, gate: Authorizer, serves_plain: bool) -> InferenceEndpoint:
    settings = core.settings
    return InferenceEndpoint(
        inference=core.inference,
        registry=core.registry,
        dialect=core.dialect,
        recorder=core.telemetry.recorder,
        access_log=core.telemetry.logs.access,
        gate=gate,
        clock=core.runtime.reactor,
        entropy=Entropy(os.urandom).take,
        settings=InferenceSettings(
            max_request_size=settings.max_request_size,
            cors=b"".join(b"%b: %b\r\n" % header for header in cors_headers(settings)),
            serves_plain=serves_plain,
        ),
        slots=core.slots,
        workflows=core.workflows,
    )
