"""The base of handlers of pipelines."""

from modelserver.child.handlers.distributed_handlers import BasePippyHandler
from modelserver.compat.borrowed import borrowed

__all__ = ["BasePippyHandler"]

__getattr__ = borrowed(__name__)
