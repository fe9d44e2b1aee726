"""The name of the handler for TensorRT-LLM."""

from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.compat.borrowed import borrowed

__all__ = ["BaseHandler", "TRTLLMHandler"]


class TRTLLMHandler(BaseHandler):
    """Can be imported and subclassed; the engine behind it is not part of this server."""

    def initialize(self, ctx):
        """
        Say so.

        :raises ImportError: always.
        """
        raise ImportError(
            "TRTLLMHandler is not part of this server: have a handler of your own start the engine."
        )


__getattr__ = borrowed(__name__)
