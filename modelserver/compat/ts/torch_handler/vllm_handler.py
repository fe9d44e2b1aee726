"""The name of the handler for vLLM."""

from modelserver.child.handlers.vllm_handler import VLLMHandler

__all__ = ["VLLMHandler"]
