"""The context of a handler."""

from modelserver.child.context import MmsContext as Context
from modelserver.child.context import RequestProcessor

__all__ = ["Context", "RequestProcessor"]
