"""Generated texts, word by word."""

from modelserver.child.handlers.text_streams import TextIteratorStreamerBatch

__all__ = ["TextIteratorStreamerBatch"]
