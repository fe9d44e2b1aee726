"""Names of TorchServe's program that serves a language model with one command; its engines are not here."""

from modelserver.compat.borrowed import borrowed
from modelserver.compat.not_here import only_there

__all__ = ["create_mar_file", "create_tensorrt_llm_engine", "get_model_config", "main"]

_WHY = "its handlers for vLLM and TensorRT-LLM are not; pack a handler of your own that starts the engine"
create_mar_file = only_there("create_mar_file", _WHY)
create_tensorrt_llm_engine = only_there("create_tensorrt_llm_engine", _WHY)
get_model_config = only_there("get_model_config", _WHY)
main = only_there("main", _WHY)

__getattr__ = borrowed(__name__)
