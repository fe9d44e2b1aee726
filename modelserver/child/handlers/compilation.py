"""torch.compile, as the section ``pt2`` of model-config.yaml asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from modelserver.archive.pt2_section import compile_options

log = logging.getLogger(__name__)


class PT2Backend(str, Enum):
    """Backends of torch.compile that the peers know by name."""

    EAGER = "eager"
    AOT_EAGER = "aot_eager"
    INDUCTOR = "inductor"
    NVFUSER = "nvfuser"
    AOT_NVFUSER = "aot_nvfuser"
    AOT_CUDAGRAPHS = "aot_cudagraphs"
    OFI = "ofi"
    FX2TRT = "fx2trt"
    ONNXRT = "onnxrt"
    IPEX = "ipex"
    TORCHXLA_TRACE_ONCE = "torchxla_trace_once"
    OPENVINO = "openvino"
    TENSORRT = "tensorrt"
    HPU_BACKEND = "hpu_backend"


def check_valid_pt2_backend(backend: str) -> bool:
    """Whether torch.compile may know this backend: by the list of the peers, or torch's own."""
    if backend in {known.value for known in PT2Backend}:
        return True
    try:
        from torch.compiler import list_backends
    except ImportError:
        known = []
    else:
        known = list_backends(exclude_tags=())
    if backend not in known:
        log.warning("%s is not a supported backend", backend)
    return backend in known


def uses_ahead_of_time(config: Mapping[str, object]) -> bool:
    """Whether ``pt2: {export: {aot_compile: true}}`` is said."""
    section = config.get("pt2")
    export = section.get("export") if isinstance(section, Mapping) else None
    return isinstance(export, Mapping) and bool(export.get("aot_compile"))


def torch_compile(model: Any, **options: Any) -> Any:
    """torch.compile, set so that what cannot be compiled at the first request runs as it is."""
    import torch
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True
    return torch.compile(model, **options)


def compiled(model: Any, config: Mapping[str, object], compiler: Callable[..., Any] = torch_compile) -> Any:
    """The model, compiled if ``config`` asks for it; a failure is logged and changes nothing."""
    options = compile_options(config)
    if options is None:
        return model
    try:
        result = compiler(model, **options)
    except Exception as error:  # any backend raises what it likes
        log.warning("Compiling the model with %s has failed: %s", options, error)
        return model
    backend, others = options.get("backend", "inductor"), [name for name in options if name != "backend"]
    told = "".join(f", {name} {options[name]}" for name in others)
    log.info("Compiled model with backend %s%s", backend, told)
    return result
