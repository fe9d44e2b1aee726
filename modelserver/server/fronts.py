"""Builds what serves a port: its routes, what answers them, and the endpoint that serves predictions."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from functools import partial
from uuid import uuid4

from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.config.address import Address
from modelserver.config.settings import Settings
from modelserver.core.ids import Entropy
from modelserver.dialect_rules import DIALECTS
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.factory import ConnectionFactory
from modelserver.http1.states import ConnectionLimits
from modelserver.inference.health import ServerHealth
from modelserver.management.advisor import Advisor
from modelserver.rest.api import Api
from modelserver.rest.binding import ApiResource, Operation
from modelserver.rest.dashboard.handlers import DashboardApi
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from modelserver.rest.inference.handlers import InferenceApi
from modelserver.rest.inference.traced import TracedEndpoint
from modelserver.rest.management.advice import AdviceApi
from modelserver.rest.management.calls import Calls
from modelserver.rest.management.handlers import ManagementApi
from modelserver.rest.management.tokens import TokenApi
from modelserver.rest.management.workflows import WorkflowApi
from modelserver.rest.metrics import MetricsApi
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import (
    DASHBOARD,
    MODEL_CONTROL,
    OPEN_INFERENCE,
    TOKENS,
    WORKFLOW_CONTROL,
    ListenerRole,
)
from modelserver.rest.routes import select
from modelserver.rest.tracing import HttpTracing, TracedResource
from modelserver.security.authorization import AllowAll, Authorizer, TokenAuthorizer
from modelserver.security.page_guard import PageGuard
from modelserver.server.access_summary import allowed_names
from modelserver.server.build import Core
from modelserver.server.late import LateResource
from modelserver.system.cpus import usable_processors

_log = Logger()


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
    resource = LateResource(partial(_make_resource, core, address, roles, endpoint))
    return ConnectionFactory(
        resource if tracing is None else TracedResource(resource, tracing),
        handler=endpoint if tracing is None else TracedEndpoint(endpoint, tracing),
        run_soon=core.runtime.events.call_soon,
        connections=connections,
        log_failure=log_failure,
        memory=memory,
    )


def _make_resource(
    core: Core, address: Address, roles: Collection[ListenerRole], endpoint: InferenceEndpoint
) -> ApiResource:
    """Return what answers all requests of a port that are not plain predictions."""
    descriptions = Descriptions(select(roles, core.dialect.name, _features(core)), core.dialect.name)
    responder = KleinResponder(core.dialect, _new_uuid, _cors(core.settings))
    api = Api(
        descriptions=descriptions,
        operations=_operations(core, descriptions, responder, endpoint),
        gate=endpoint.gate,
        responder=responder,
        pages=_page_guard(core, address) if core.tokens is None else None,
    )
    return api.resource()


def make_gate(core: Core) -> Authorizer:
    """Return what decides who may ask for what."""
    return AllowAll() if core.tokens is None else TokenAuthorizer(core.tokens, core.refusals.note)


def make_health(core: Core) -> ServerHealth:
    """Return what tells whether the server can answer."""
    return ServerHealth(core.registry, core.inference.start_up, lambda: core.draining.begun)


def allows_registering(core: Core) -> bool:
    """Return whether models may be registered and unregistered."""
    settings = core.settings
    return settings.enable_model_api or not DIALECTS[settings.dialect].can_forbid_model_control


def _page_guard(core: Core, address: Address) -> PageGuard:
    """Return what refuses pages of other origins."""
    return PageGuard(
        allowed=allowed_names(core.settings, core.runtime.environment),
        checks_host=address.scheme != "unix",
        on_refused=partial(core.refusals.note, "page"),
    )


def _features(core: Core) -> Collection[str]:
    """Return the names of the features that are switched on; routes depend on features."""
    settings = core.settings
    is_on = {
        OPEN_INFERENCE: settings.open_inference_protocol,
        MODEL_CONTROL: allows_registering(core),
        WORKFLOW_CONTROL: settings.enable_workflow_api,
        TOKENS: core.tokens is not None,
        DASHBOARD: core.dashboard is not None,
    }
    return [name for name, on in is_on.items() if on]


def _operations(
    core: Core,
    descriptions: Descriptions,
    responder: KleinResponder,
    endpoint: InferenceEndpoint,
) -> Mapping[str, Operation]:
    """Return the functions that answer all routes, by operationId."""
    settings = core.settings
    management = ManagementApi(
        management=core.management,
        responder=responder,
        descriptions=descriptions,
        strict_parameters=settings.strict_parameters,
    )
    workflows = WorkflowApi(core.workflow_management, Calls(responder, settings.strict_parameters))
    inference = InferenceApi(
        front=endpoint,
        registry=core.registry,
        health=make_health(core),
        responder=responder,
        descriptions=descriptions,
        has_tokens=core.tokens is not None,
    )
    recorder = core.telemetry.recorder
    metrics = MetricsApi(
        recorder.pieces,
        responder,
        core.runtime.events.call_soon,
        # For its exemplars alone: until there are some, all scrapers are served as TorchServe does.
        None if core.tracing is None else recorder.openmetrics,
    )
    tokens = {} if core.tokens is None else TokenApi(core.tokens, responder).operations()
    advisor = Advisor(core.registry, recorder.figures, usable_processors())
    return {
        **management.operations(),
        **AdviceApi(advisor, management.calls).operations(),
        **workflows.operations(),
        **inference.operations(),
        **metrics.operations(),
        **tokens,
        **_of_dashboard(core, responder, endpoint.gate),
    }


def _of_dashboard(core: Core, responder: KleinResponder, gate: Authorizer) -> Mapping[str, Operation]:
    if core.dashboard is None:
        return {}
    return DashboardApi(core.dashboard.parts, responder, gate).operations()


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
            cors=b"".join(b"%b: %b\r\n" % header for header in _cors(settings)),
            serves_plain=serves_plain,
        ),
        slots=core.slots,
        workflows=core.workflows,
    )


def _cors(settings: Settings) -> tuple[tuple[bytes, bytes], ...]:
    named = (
        (b"access-control-allow-origin", settings.cors_allowed_origin),
        (b"access-control-allow-methods", settings.cors_allowed_methods),
        (b"access-control-allow-headers", settings.cors_allowed_headers),
    )
    return tuple((name, value.encode("latin-1")) for name, value in named if value)


def _new_uuid() -> str:
    return str(uuid4())


def log_failure(failure: Failure) -> None:
    """Write down a defect of the server."""
    _log.failure("A request ended in an error of the server", failure)
