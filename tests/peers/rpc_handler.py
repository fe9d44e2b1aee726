"""A handler that does what a request's input ``data`` says; it runs unchanged under TorchServe."""

from ts.handler_utils.utils import send_intermediate_predict_response
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException

CODES = {"400": 400, "403": 403, "404": 404, "409": 409, "416": 416, "429": 429, "501": 501, "599": 599}
RESULTS = {"dict": {"a": 1, "b": "\u00fc"}, "list": [1, 2], "int": 42, "none": None, "bytes": b"\x00\xff"}


class Echo(BaseHandler):
    """Answers, fails or streams."""

    def initialize(self, context):
        self.initialized = True

    def handle(self, data, context):
        return [self._one(bytes(row.get("data", b"")).decode(), row, context) for row in data]

    def _one(self, what, row, context):
        if what == "inputs":
            return {key: [type(value).__name__, bytes(value).decode("latin-1")] for key, value in row.items()}
        if what == "raise":
            raise ValueError("something is wrong")
        if what == "memory":
            raise MemoryError("no")
        if what in CODES:
            raise PredictionException("not today", CODES[what])
        if what == "status":
            context.set_response_status(418, "teapot")
        if what == "parts":
            for number in range(3):
                send_intermediate_predict_response([f"part {number}"], context.request_ids, "", 200, context)
        return RESULTS.get(what, f"echo {what}")
