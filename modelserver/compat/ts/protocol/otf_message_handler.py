"""The peer's messages, and the older place of streaming."""

import warnings

from modelserver.child.data import streaming
from modelserver.child.handler_tests.messages import (
    create_load_model_response,
    create_predict_response,
    encode_response_headers,
)

__all__ = [
    "create_load_model_response",
    "create_predict_response",
    "encode_response_headers",
    "send_intermediate_predict_response",
]


def send_intermediate_predict_response(ret, req_id_map, message, code, context=None):
    """Send a part of the answers; ``ts.handler_utils.utils`` is the place to import this from."""
    warnings.warn(
        "import send_intermediate_predict_response from ts.handler_utils.utils",
        PendingDeprecationWarning,
        stacklevel=2,
    )
    streaming.send_intermediate_predict_response(ret, req_id_map, message, code, context)
