"""Builds what serves a port: the endpoint that serves predictions, and what stands for other routes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from modelserver.config.address import Address
from modelserver.core.ids import Entropy
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.factory import ConnectionFactory
from modelserver.http1.states import ConnectionLimits, RequestHandler
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from modelserver.rest.route import ListenerRole
from modelserver.security.authorization import Authorizer
from modelserver.server.answering import cors_headers, log_failure, make_gate
from modelserver.server.build import Core
from modelserver.traces import Tracer

if TYPE_CHECKING:
    from twisted.web.resource import IResource


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

    def make_routes() -> IResource:
        # Loaded for the first request that is no plain prediction: Klein and all that routes lead to.
        from modelserver.server.routes import make_resource

        return make_resource(core, address, roles, endpoint)

    make_resource: Callable[[], IResource] = make_routes
    handler: RequestHandler = endpoint
    if core.tracing is not None:
        make_resource, handler = _traced(core.tracing.tracer, address, make_routes, endpoint)
    return ConnectionFactory(
        make_resource,
        handler=handler,
        run_soon=core.runtime.events.call_soon,
        connections=connections,
        log_failure=log_failure,
        memory=memory,
    )


def _traced(
    tracer: Tracer, address: Address, make_resource: Callable[[], IResource], endpoint: InferenceEndpoint
) -> tuple[Callable[[], IResource], RequestHandler]:
    """Return what makes the resource of a listener, and its handler, both with spans."""
    # Loaded where requests are traced.
    from modelserver.rest.inference.traced import TracedEndpoint
    from modelserver.rest.tracing import HttpTracing, TracedResource

    tracing = HttpTracing(tracer, "https" if address.is_tls else "http")
    return lambda: TracedResource(make_resource(), tracing), TracedEndpoint(endpoint, tracing)


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
