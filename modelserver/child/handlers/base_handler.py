"""The handler ``base_handler``: a PyTorch model, tensor in and tensor out, that all others build on."""

from __future__ import annotations

import logging
import os
import time
from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from modelserver.archive.warm_up_section import read_warm_up
from modelserver.archive.weights_formats import AHEAD_OF_TIME, weights_format
from modelserver.child.call_trace import CallTrace
from modelserver.child.data.refusals import opened, require_equal
from modelserver.child.data.rows import row_value
from modelserver.child.handlers.compilation import compiled, uses_ahead_of_time
from modelserver.child.handlers.devices import choose_device
from modelserver.child.handlers.explanations import refuse_to_explain, targets
from modelserver.child.handlers.labels import load_label_mapping
from modelserver.child.handlers.profiling import is_profiler_wanted, profiled
from modelserver.child.handlers.programs import load_ahead_of_time
from modelserver.child.handlers.timing import emit_time, timed
from modelserver.child.handlers.warm_up import run_warm_up
from modelserver.child.handlers.weights import (
    is_session,
    load_eager,
    require_class,
    run_session,
    setup_ort_session,
)

if TYPE_CHECKING:
    import torch
    from torch.profiler import profile

    from modelserver.child.context import Context

log = logging.getLogger(__name__)


class BaseHandler(ABC):  # noqa: B024  # nothing is abstract; subclasses rely on the metaclass
    """
    Loads the model of an archive, and answers each batch in three steps: preprocess, inference, postprocess.

    Attributes stand on the class, too, for handlers that have an ``__init__`` of their own.
    """

    model: Any = None
    mapping: dict[str, str] | None = None
    device: torch.device | None = None
    initialized: bool = False
    context: Context = cast("Context", None)  # None until initialize, and of no use to anybody before
    model_pt_path: str | None = None
    manifest: Any = None
    map_location: str | None = None
    explain: bool = False
    target: int = 0
    profiler_args: dict[str, Any] = {}
    model_yaml_config: dict[str, Any] = {}

    def __init__(self) -> None:
        self.profiler_args = {}
        self.model_yaml_config = {}

    def initialize(self, context: Context) -> None:
        """
        Choose the device, load the model and the labels.

        :raises RuntimeError: the archive has neither weights nor a model file that can be loaded.
        """
        import torch

        properties: dict[str, Any] = context.system_properties
        self.context = context
        self.map_location, device = choose_device(properties.get("gpu_id"))
        self.device = torch.device(device)
        self.manifest = context.manifest
        self.model_yaml_config = getattr(context, "model_yaml_config", None) or {}
        model_dir = properties.get("model_dir") or ""
        declared: dict[str, Any] = (self.manifest or {}).get("model", {})
        serialized = declared.get("serializedFile")
        self.model_pt_path = os.path.join(model_dir, serialized) if serialized else None
        self.model = self._load(model_dir, declared.get("modelFile"))
        self.mapping = load_label_mapping(os.path.join(model_dir, "index_to_name.json"))
        self.initialized = True

    def warm_up(self, context: Context) -> None:
        """
        Make the calls that ``warmup`` of model-config.yaml declares; workers call this before they are ready.

        :raises ValueError: the section cannot be understood. What a step raises comes out as well.
        """
        section = self.model_yaml_config.get("warmup")
        if isinstance(section, Mapping):
            properties: dict[str, Any] = context.system_properties
            run_warm_up(self, read_warm_up(section, properties.get("batch_size")), context)

    def _load(self, model_dir: str, model_file: str | None) -> Any:
        path = self.model_pt_path
        if path is not None and path.endswith(".onnx"):
            return setup_ort_session(path, self.map_location)
        if path is not None and (
            weights_format(path) in AHEAD_OF_TIME or self._use_torch_export_aot_compile()
        ):
            return self._load_torch_export_aot_compile(path)
        if model_file:
            model = self._load_pickled_model(model_dir, model_file, path)
        elif path is not None and os.path.isfile(path):
            model = self._load_torchscript_model(path)
        else:
            raise RuntimeError(f"No model weights could be loaded: {path or 'the manifest names none'}")
        if hasattr(model, "eval"):
            model = model.to(self.device).eval()
        return compiled(model, self.model_yaml_config)

    def _load_torch_export_aot_compile(self, model_so_path: str) -> Any:
        assert self.device is not None
        properties = getattr(self.context, "system_properties", None) or {}
        loaded = load_ahead_of_time(
            model_so_path, self.device, self.model_yaml_config, properties.get("batch_size")
        )
        self.device = loaded.device
        return loaded.model

    def _load_torchscript_model(self, model_pt_path: str) -> Any:
        import torch

        require_class(model_pt_path)
        return torch.jit.load(model_pt_path, map_location=self.device)  # type: ignore[no-untyped-call]

    def _load_pickled_model(self, model_dir: str, model_file: str, model_pt_path: str | None) -> Any:
        return load_eager(model_dir, model_file, model_pt_path, self.map_location)

    def _use_torch_export_aot_compile(self) -> bool:
        return uses_ahead_of_time(self.model_yaml_config)

    @timed
    def preprocess(self, data: Any) -> Any:
        """
        A tensor on the device from the values of all rows.

        :raises RowsRefused: some rows are no tensors, or their shapes differ.
        """
        import torch

        values = [row_value(row) for row in data]
        try:
            return torch.as_tensor(values, device=self.device)
        except Exception:
            # What is no tensor by itself is refused, what has another shape is served by itself.
            tensors = opened(values, lambda value: torch.as_tensor(value, device=self.device))
            require_equal([tuple(tensor.shape) for tensor in tensors])
            raise

    @timed
    def inference(self, data: Any, *args: object, **kwargs: object) -> Any:
        """What the model makes of the tensor, without gradients."""
        if is_session(self.model):
            return run_session(self.model, data, args)
        import torch

        with torch.inference_mode():
            on_device = data.to(self.device) if hasattr(data, "to") else data
            return self.model(on_device, *args, **kwargs)

    @timed
    def postprocess(self, data: Any) -> list[Any]:
        """The rows of the result as lists."""
        rows: list[Any] = data.tolist()
        return rows

    def handle(self, data: Any, context: Context) -> Any:
        """Answer a batch: a description, explanations or predictions, as its first request asks."""
        started = time.perf_counter()
        self.context = context
        output = self._infer_with_profiler(data)[0] if is_profiler_wanted() else self._answer(data)
        emit_time(context, "HandlerTime", started)
        return output

    def _answer(self, data: Sequence[object]) -> Any:
        if self._is_describe():
            return [self.describe_handle()]
        prepared = self._step("preprocess", self.preprocess, data)
        if self._is_explain():
            return self.explain_handle(prepared, data)
        output = self._step("inference", self.inference, prepared)
        return self._step("postprocess", self.postprocess, output)

    def _step(self, name: str, step: Callable[[Any], Any], data: Any) -> Any:
        """Make a step of the handler; it has a span where the batch has a traced request."""
        trace = getattr(self.context, "trace", None)
        if not isinstance(trace, CallTrace):
            return step(data)
        with trace.span(name):
            return step(data)

    def _infer_with_profiler(self, data: Sequence[object]) -> tuple[Any, profile]:
        declared = (self.manifest or {}).get("model", {})
        return profiled(lambda: self._answer(data), declared.get("modelName", ""), self.profiler_args)

    def explain_handle(self, data_preprocess: Any, raw_data: Any) -> Any:
        """
        Explanations of the predictions for a batch, from the handler's ``get_insights``.

        :param data_preprocess: what ``preprocess`` made of ``raw_data``.
        :raises PredictionException: the handler has no ``get_insights`` (501).
        """
        get_insights = getattr(self, "get_insights", None)
        if get_insights is None:
            raise refuse_to_explain(self)
        inputs = row_value(raw_data[0]) if len(raw_data) == 1 else [row_value(row) for row in raw_data]
        return get_insights(data_preprocess, inputs, targets(raw_data))

    def describe_handle(self) -> Any:
        """What a customized describe tells of this model; nothing unless a handler has something to tell."""
        return None

    def get_device(self) -> torch.device | None:
        """The device that the handler computes on."""
        return self.device

    def _is_explain(self) -> bool:
        if self._first_header("explain") == "True":
            self.explain = True
            return True
        return False

    def _is_describe(self) -> bool:
        return self._first_header("describe") == "True"

    def _first_header(self, name: str) -> str | None:
        if self.context is None:
            return None
        try:
            return self.context.get_request_header(0, name)
        except IndexError:
            # A context without requests, as handlers' own tests make it.
            return None
