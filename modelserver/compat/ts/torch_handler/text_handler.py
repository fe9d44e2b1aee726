"""What the handlers of texts have in common."""

from modelserver.child.handlers.text_handler import TextHandler

__all__ = ["TextHandler"]
