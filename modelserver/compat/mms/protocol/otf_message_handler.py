"""The peer's messages."""

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
    "create_load_model_response",
    "create_predict_response",
    "encode_response_headers",
    "int_size",
    "retrieve_msg",
]


int_size = 4
END_OF_LIST = -1
RESPONSE = 3


def retrieve_msg(conn):
    """The next message of the Java server: its kind, and what to load or a list of requests."""
    return MessageReader(conn, "MMS_DECODE_INPUT_REQUEST", False).message()


__getattr__ = borrowed(__name__)
