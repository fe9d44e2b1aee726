"""torch.compile, as the section ``pt2`` of model-config.yaml asks for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

log = logging.getLogger(__name__)

RUNS = ("eager", "compiled")
OWN_OPTIONS = ("batch", "device", "run")
"""Options of the section ``pt2`` that are not for torch.compile."""


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


def compile_options(config: Mapping[str, object]) -> dict[str, object] | None:
    """
    The arguments for torch.compile, or None if it is not asked for.

    ``pt2`` is the name of a backend, or holds ``compile: {enable: true, backend: ..., mode: ...}``, or, as
    older archives have it, ``backend`` and the others themselves. ``run: compiled`` asks for it, too, and
    ``run: eager`` for none.

    :raises ValueError: ``run`` is another word.
    """
    section = config.get("pt2")
    if isinstance(section, str):
        return {"backend": section}
    if not isinstance(section, Mapping):
        return None
    run = section.get("run")
    if run not in (None, *RUNS):
        raise ValueError(f"pt2: run is {' or '.join(RUNS)}, not {run!r}")
    others = {name: value for name, value in section.items() if name not in OWN_OPTIONS}
    options = section.get("compile", {} if "export" in section else {**others, "enable": bool(others)})
    if not isinstance(options, Mapping) or run == "eager" or not (options.get("enable") or run == "compiled"):
        return None
    return {name: value for name, value in options.items() if name != "enable"}


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
