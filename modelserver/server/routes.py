"""Builds what answers requests that are no plain predictions; imported for the first of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from uuid import uuid4

from modelserver.config.address import Address
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.management.advisor import Advisor
from modelserver.rest.api import Api
from modelserver.rest.binding import ApiResource, Operation
from modelserver.rest.dashboard.handlers import DashboardApi
from modelserver.rest.inference.front import InferenceEndpoint
from modelserver.rest.inference.handlers import InferenceApi
from modelserver.rest.management.advice import AdviceApi
from modelserver.rest.management.calls import Calls
from modelserver.rest.management.handlers import ManagementApi
from modelserver.rest.management.repository import RepositoryApi
from modelserver.rest.management.tokens import TokenApi
from modelserver.rest.management.workflows import WorkflowApi
from modelserver.rest.metrics import MetricsApi
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import (
    CONTROL_AT_INFERENCE,
    DASHBOARD,
    MODEL_CONTROL,
    OPEN_INFERENCE,
    REPOSITORY_AT_INFERENCE,
    TOKENS,
    WORKFLOW_CONTROL,
    ListenerRole,
)
from modelserver.rest.routes import select
from modelserver.security.authorization import Authorizer
from modelserver.security.page_guard import PageGuard
from modelserver.server.access_summary import own_names
from modelserver.server.answering import allows_registering, cors_headers, make_health, make_repository
from modelserver.server.build import Core
from modelserver.system.cpus import usable_processors


def make_resource(
    core: Core, address: Address, roles: Collection[ListenerRole], endpoint: InferenceEndpoint
) -> ApiResource:
    """Return what answers all requests of a port that are not plain predictions."""
    descriptions = Descriptions(select(roles, core.dialect.name, _features(core)), core.dialect.name)
    responder = KleinResponder(core.dialect, _new_uuid, cors_headers(core.settings))
    api = Api(
        descriptions=descriptions,
        operations=_operations(core, descriptions, responder, endpoint),
        gate=endpoint.gate,
        responder=responder,
        pages=_page_guard(core, address) if core.tokens is None else None,
    )
    return api.resource()


def _page_guard(core: Core, address: Address) -> PageGuard:
    """Return what refuses pages of other origins."""
    return PageGuard(
        allowed=core.settings.allowed_hosts,
        names=own_names(core.settings, core.runtime.environment),
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
        REPOSITORY_AT_INFERENCE: settings.repository_at_inference,
        CONTROL_AT_INFERENCE: settings.repository_at_inference and allows_registering(core),
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
    recorder = core.telemetry.recorder
    inference = InferenceApi(
        front=endpoint,
        registry=core.registry,
        health=make_health(core),
        responder=responder,
        descriptions=descriptions,
        extensions=ModelExtensions(endpoint.either, recorder.figures),
        has_tokens=core.tokens is not None,
    )
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
        **RepositoryApi(make_repository(core), responder).operations(),
        **inference.operations(),
        **metrics.operations(),
        **tokens,
        **_of_dashboard(core, responder, endpoint.gate),
    }


def _of_dashboard(core: Core, responder: KleinResponder, gate: Authorizer) -> Mapping[str, Operation]:
    if core.dashboard is None:
        return {}
    return DashboardApi(core.dashboard.parts, responder, gate).operations()


def _new_uuid() -> str:
    return str(uuid4())
