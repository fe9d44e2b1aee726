"""The services of the oldest archives."""

from modelserver.child.handlers.model_service import ModelService, SingleNodeService

__all__ = ["ModelService", "SingleNodeService"]
