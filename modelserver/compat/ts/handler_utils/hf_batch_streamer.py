"""Generated texts, word by word."""

from modelserver.child.handlers.text_streams import TextIteratorStreamerBatch
from modelserver.compat.borrowed import borrowed

__all__ = ["TextIteratorStreamerBatch"]

__getattr__ = borrowed(__name__)
