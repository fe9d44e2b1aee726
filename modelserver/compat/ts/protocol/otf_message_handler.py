"""The peer's messages, and the older place of streaming."""

import warnings
from functools import cache

from modelserver.child.data import streaming
from modelserver.child.handler_tests.messages import (
    create_load_model_response,
    create_predict_response,
    encode_response_headers,
)
from modelserver.child.handler_tests.requests import LOAD as LOAD_MSG
from modelserver.child.handler_tests.requests import PREDICT as PREDICT_MSG
from modelserver.child.handler_tests.requests import MessageReader
from modelserver.compat.borrowed import borrowed

__all__ = [
    "END_OF_LIST",
    "LOAD_MSG",
    "PREDICT_MSG",
    "RESPONSE",
    "bool_size",
    "create_load_model_response",
    "create_predict_response",
    "encode_response_headers",
    "int_size",
    "retrieve_msg",
    "send_intermediate_predict_response",
]

bool_size = 1
int_size = 4
END_OF_LIST = -1
RESPONSE = 3


def retrieve_msg(conn):
    """The next message of the Java server: its kind, and what to load or a list of requests."""
    return MessageReader(conn, "TS_DECODE_INPUT_REQUEST", True).message()


@cache
def _warn():
    """Warn once: parts are many."""
    warnings.warn(
        "import send_intermediate_predict_response from ts.handler_utils.utils",
        PendingDeprecationWarning,
        stacklevel=3,
    )


def send_intermediate_predict_response(ret, req_id_map, message, code, context=None):
    """Send a part of the answers; ``ts.handler_utils.utils`` is the place to import this from."""
    _warn()
    streaming.send_intermediate_predict_response(ret, req_id_map, message, code, context)


__getattr__ = borrowed(__name__)
