"""The classes that handlers of the oldest archives build on: a model service with a signature file."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from ast import literal_eval
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelserver.child.data.refusals import opened
from modelserver.child.data.rows import row_value

if TYPE_CHECKING:
    from modelserver.child.context import Context

JSON = "application/json"


class ModelService(ABC):
    """
    A service for one model.

    :param model_dir: the folder of the unpacked archive.
    :param gpu: the device number, or None for the CPU.
    """

    def __init__(
        self, model_name: str, model_dir: str, manifest: Mapping[str, Any] | None, gpu: int | None = None
    ) -> None:
        self.model_name = model_name
        self.model_dir = model_dir
        self.manifest = manifest
        self.gpu = gpu
        self.ctx: Context | None = None
        self._context: Context | None = None
        self._signature: dict[str, Any] | None = None

    def initialize(self, context: Context) -> None:
        """Keep the context, and read the signature that the manifest names."""
        self._context = self.ctx = context
        manifest = self.manifest or context.manifest or {}
        declared = manifest.get("Model", {})
        name = declared.get("Signature") if isinstance(declared, Mapping) else None
        if name:
            with open(os.path.join(self.model_dir, name), encoding="utf-8") as file:
                self._signature = json.load(file)

    @abstractmethod
    def inference(self, data: list[Any]) -> Any:
        """What the model makes of one request's inputs."""

    def ping(self) -> object:
        """How the service is; nothing unless it has something to say."""
        return None

    def signature(self) -> dict[str, Any] | None:
        """The inputs and outputs of the model, as the archive's signature file tells."""
        return self._signature

    def handle(self, data: Sequence[Any], context: Context) -> list[Any]:
        """
        Answer each request of a batch on its own.

        :raises RowsRefused: some of them are not what the signature says.
        """
        self._context = self.ctx = context
        return [_only_answer(self.inference(inputs)) for inputs in opened(data, self._inputs)]

    def _inputs(self, row: Any) -> list[Any]:
        signature = self._signature or {}
        declared = signature.get("inputs")
        if not declared or not isinstance(row, Mapping):
            inputs = [row_value(row)]
        else:
            inputs = [
                row[name] if (name := tensor.get("data_name")) in row else row_value(row)
                for tensor in declared
            ]
        return [_decoded(value) for value in inputs] if signature.get("input_type") == JSON else inputs


def _decoded(value: Any) -> Any:
    """What a client meant that did not say that it sends JSON: a Python literal is as good."""
    if not isinstance(value, (bytes, bytearray)):
        return value
    text = value.decode()
    try:
        return json.loads(text)
    except ValueError:
        return literal_eval(text)


def _only_answer(answers: Any) -> Any:
    """The answer to one request; most services make a list of it."""
    return answers[0] if isinstance(answers, list) and len(answers) == 1 else answers


class SingleNodeService(ModelService):
    """A service in three steps; a subclass has ``_inference``, or an ``inference`` of its own."""

    def inference(self, data: list[Any]) -> Any:
        """Preprocess, infer, postprocess."""
        return self._postprocess(self._inference(self._preprocess(data)))

    def _inference(self, data: Any) -> Any:
        return data

    def _preprocess(self, data: list[Any]) -> Any:
        return data

    def _postprocess(self, data: Any) -> Any:
        return data
