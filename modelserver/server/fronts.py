"""Builds what serves a port: the endpoint that serves predictions, and what stands for other routes."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

from modelserver.config.address import Address
from modelserver.core.ids import Entropy
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.factory import ConnectionFactory
from modelserver.http1.states import ConnectionLimits
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from modelserver.rest.route import ListenerRole
from modelserver.security.authorization import Authorizer
from modelserver.server.answering import cors_headers, log_failure, make_gate
from modelserver.server.build import Core
from modelserver.traces import Tracer

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from modelserver.rest.tracing import HttpTracing


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
    tracing = None if core.tracing is None else _http_tracing(core.tracing.tracer, address)
    endpoint = _make_endpoint(core, make_gate(core), ListenerRole.INFERENCE in roles, tracing)

    def make_routes() -> IResource:
        # Loaded for the first request that is no plain prediction: Klein and all that routes lead to.
        from modelserver.server.routes import make_resource

        return make_resource(core, address, roles, endpoint)

    return ConnectionFactory(
        make_routes if tracing is None else lambda: tracing.resource(make_routes()),
        handler=endpoint,
        run_soon=core.runtime.events.call_soon,
        connections=connections,
        log_failure=log_failure,
        memory=memory,
    )


def _http_tracing(tracer: Tracer, address: Address) -> HttpTracing:
    # Loaded where requests are traced.
    from modelserver.rest.tracing import HttpTracing

    return HttpTracing(tracer, "https" if address.is_tls else "http")


def _make_endpoint(
    core: Core, gate: Authorizer, serves_plain: bool, tracing: HttpTracing | None
) -> InferenceEndpoint:
    settings = core.settings
    make: Callable[..., InferenceEndpoint] = InferenceEndpoint
    if tracing is not None:
        from modelserver.rest.inference.traced import TracedEndpoint

        make = partial(TracedEndpoint, tracing=tracing)
    return make(
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
