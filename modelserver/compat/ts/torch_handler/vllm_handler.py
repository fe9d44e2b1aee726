"""The name of the handler for vLLM."""

from modelserver.child.handlers.vllm_handler import VLLMHandler
from modelserver.compat.borrowed import borrowed

__all__ = ["VLLMHandler"]

__getattr__ = borrowed(__name__)
