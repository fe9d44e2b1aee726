"""The context of a handler."""

from modelserver.child.context import Context, RequestProcessor

__all__ = ["Context", "RequestProcessor"]
