"""A handler with types, as somebody writes it who has mypy --strict: an installed package makes it pass."""

from __future__ import annotations

from typing import Any

from ts.context import Context
from ts.torch_handler.base_handler import BaseHandler
from ts.torch_handler.image_classifier import ImageClassifier
from ts.utils.util import PredictionException


class Words(BaseHandler):
    """Counts words."""

    def initialize(self, context: Context) -> None:
        """Read what the archive says."""
        super().initialize(context)
        self.folder: str = context.system_properties["model_dir"]
        self.limit: int = context.model_yaml_config.get("handler", {}).get("limit", 10)
        self.name: str = context.manifest["model"]["modelName"]

    def preprocess(self, data: list[dict[str, Any]]) -> list[str]:
        """Take the text of each row."""
        return [row["body"].decode() for row in data]

    def handle(self, data: list[dict[str, Any]], context: Context) -> list[int]:
        """Answer each row."""
        if context.get_request_header(0, "x-client") is None:
            raise PredictionException("who are you?", 400)
        context.metrics.add_counter("Words", len(data))
        context.set_response_content_type(0, "text/plain")
        self.context.set_response_header(0, "x-limit", str(self.limit))
        return [len(text.split()) for text in self.preprocess(data)]


class Digits(ImageClassifier):
    """Answers with numbers, where the base answers with names."""

    def postprocess(self, data: Any) -> list[int]:
        """Return the best class of each row."""
        best: list[int] = data.argmax(1).tolist()
        return best
