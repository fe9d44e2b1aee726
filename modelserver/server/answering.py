"""What all fronts have in common: who may ask, whether the server is healthy, what an operator allows."""

from __future__ import annotations

from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.config.settings import Settings
from modelserver.dialect_rules import DIALECTS
from modelserver.inference.health import ServerHealth
from modelserver.management.repository import ModelRepository
from modelserver.security.authorization import AllowAll, Authorizer, TokenAuthorizer
from modelserver.server.build import Core

_log = Logger()


def make_gate(core: Core) -> Authorizer:
    """Return what decides who may ask for what."""
    return AllowAll() if core.tokens is None else TokenAuthorizer(core.tokens, core.refusals.note)


def make_health(core: Core) -> ServerHealth:
    """Return what tells whether the server can answer."""
    return ServerHealth(core.registry, core.inference.start_up, lambda: core.draining.begun)


def make_repository(core: Core) -> ModelRepository:
    """Return the model store, as a repository of models that can be loaded."""
    return ModelRepository(core.management, core.settings.model_store)


def allows_registering(core: Core) -> bool:
    """Return whether models may be registered and unregistered."""
    settings = core.settings
    return settings.enable_model_api or not DIALECTS[settings.dialect].can_forbid_model_control


def cors_headers(settings: Settings) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers that every answer has for pages of other origins."""
    named = (
        (b"access-control-allow-origin", settings.cors_allowed_origin),
        (b"access-control-allow-methods", settings.cors_allowed_methods),
        (b"access-control-allow-headers", settings.cors_allowed_headers),
    )
    return tuple((name, value.encode("latin-1")) for name, value in named if value)


def log_failure(failure: Failure) -> None:
    """Write down a defect of the server."""
    _log.failure("A request ended in an error of the server", failure)
