"""The base of handlers that use DeepSpeed."""

from modelserver.child.handlers.distributed_handlers import BaseDeepSpeedHandler

__all__ = ["BaseDeepSpeedHandler"]
