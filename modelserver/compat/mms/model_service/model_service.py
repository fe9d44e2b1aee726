"""The services of the oldest archives."""

from modelserver.child.handlers.model_service import ModelService, SingleNodeService
from modelserver.compat.borrowed import borrowed

__all__ = ["ModelService", "SingleNodeService"]

__getattr__ = borrowed(__name__)
