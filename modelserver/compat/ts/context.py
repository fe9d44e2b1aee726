"""The context of a handler."""

from modelserver.child.context import Context, RequestProcessor
from modelserver.compat.borrowed import borrowed

__all__ = ["Context", "RequestProcessor"]

__getattr__ = borrowed(__name__)
