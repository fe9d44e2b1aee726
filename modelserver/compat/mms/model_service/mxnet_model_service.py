"""Where the services of the oldest archives take their base from; MXNet's own services are not here."""

from modelserver.child.handlers.model_service import SingleNodeService

__all__ = ["SingleNodeService"]
