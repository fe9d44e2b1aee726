"""The name of TorchServe's handler for vLLM, and what becomes of whoever uses it."""

from __future__ import annotations

from typing import NoReturn

from modelserver.child.context import Context
from modelserver.child.handlers.base_handler import BaseHandler


class VLLMHandler(BaseHandler):
    """Can be imported and subclassed; the engine behind it is not part of this server."""

    def initialize(self, context: Context) -> NoReturn:
        """
        Say so.

        :raises ImportError: always.
        """
        raise ImportError(
            "VLLMHandler is not part of this server: have a handler of your own start the vLLM engine."
        )
