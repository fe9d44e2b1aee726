"""The base of handlers of pipelines."""

from modelserver.child.handlers.distributed_handlers import BasePippyHandler

__all__ = ["BasePippyHandler"]
