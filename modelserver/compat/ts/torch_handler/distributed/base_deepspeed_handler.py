"""The base of handlers that use DeepSpeed."""

from modelserver.child.handlers.distributed_handlers import BaseDeepSpeedHandler
from modelserver.compat.borrowed import borrowed

__all__ = ["BaseDeepSpeedHandler"]

__getattr__ = borrowed(__name__)
