"""A batch as a pipeline of micro-batches."""

from modelserver.child.handlers.micro_batching import HANDLER_METHODS, MicroBatching

__all__ = ["HANDLER_METHODS", "MicroBatching"]
