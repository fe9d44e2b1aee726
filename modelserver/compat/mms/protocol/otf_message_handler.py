"""The peer's messages."""

from modelserver.child.handler_tests.messages import (
    create_load_model_response,
    create_predict_response,
    encode_response_headers,
)

__all__ = ["create_load_model_response", "create_predict_response", "encode_response_headers"]
