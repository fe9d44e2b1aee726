"""The handler that the others build on."""

from importlib.util import find_spec

from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.compilation import check_valid_pt2_backend
from modelserver.child.handlers.labels import load_label_mapping
from modelserver.child.handlers.timing import timed
from modelserver.child.handlers.weights import list_classes_from_module, setup_ort_session
from modelserver.compat.borrowed import borrowed

PROFILER_AVAILABLE = PT2_AVAILABLE = PT230_AVAILABLE = find_spec("torch") is not None
ONNX_AVAILABLE = find_spec("onnxruntime") is not None
IPEX_AVAILABLE = find_spec("intel_extension_for_pytorch") is not None
XLA_AVAILABLE = find_spec("torch_xla") is not None

__all__ = [
    "IPEX_AVAILABLE",
    "ONNX_AVAILABLE",
    "PROFILER_AVAILABLE",
    "PT2_AVAILABLE",
    "PT230_AVAILABLE",
    "XLA_AVAILABLE",
    "BaseHandler",
    "check_valid_pt2_backend",
    "list_classes_from_module",
    "load_label_mapping",
    "setup_ort_session",
    "timed",
]

__getattr__ = borrowed(__name__)
