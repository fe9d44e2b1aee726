"""The oldest of TorchServe's handlers, which a few archives still build on."""

from __future__ import annotations

from typing import Any

from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.image_classifier import ImageClassifier


class DenseNetHandler(ImageClassifier):
    """An image classifier that answers with the scores of all classes."""

    def postprocess(self, data: Any) -> list[Any]:
        """The model's scores as lists."""
        return BaseHandler.postprocess(self, data)
