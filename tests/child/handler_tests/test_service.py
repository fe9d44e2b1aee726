"""Handlers behind the peers' service, and the messages that it answers with."""

from __future__ import annotations

import logging
import struct
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.handler_tests.messages import create_load_model_response, create_predict_response
from modelserver.child.handler_tests.service import MmsService, Service, emit_metrics
from modelserver.child.metrics.mms import MmsMetricsStore
from modelserver.child.metrics.torchserve import HandlerMetrics
from tests.harness.handler_metrics import drained

BATCH: list[Any] = [
    {
        "requestId": b"r0",
        "headers": [{"name": b"X-A", "value": b"1"}],
        "parameters": [{"name": b"body", "contentType": b"application/json", "value": {"a": 1}}],
    },
    {"requestId": "r1", "parameters": [{"name": "data", "value": bytearray(b"2")}]},
]


def counted(rows: object, context: object) -> object:
    """A handler that nobody calls."""
    raise AssertionError


def read(
    message: bytes | bytearray,
) -> tuple[int, str, list[tuple[str, str, int, str, dict[str, str], bytes]]]:
    """Code, text and predictions of a message."""
    position = 0

    def number() -> int:
        nonlocal position
        position += 4
        return int(struct.unpack_from(">i", message, position - 4)[0])

    def data() -> bytes:
        nonlocal position
        size = number()
        position += size
        return bytes(message[position - size : position])

    code, text, predictions = number(), data().decode(), []
    while message[position : position + 4] != b"\xff" * 4:
        identity, kind, status, phrase = data().decode(), data().decode(), number(), data().decode()
        headers = {data().decode(): data().decode() for _ in range(number())}
        predictions.append((identity, kind, status, phrase, headers, data()))
    assert position + 4 == len(message)
    return code, text, predictions


class MessageTests(SynchronousTestCase):
    """The peers' layout."""

    def test_load(self) -> None:
        self.assertEqual(create_load_model_response(200, "ok"), b"\0\0\0\xc8\0\0\0\2ok\xff\xff\xff\xff")

    def test_answers(self) -> None:
        message = create_predict_response(["a", {"b": 1}], {0: "r0", 1: "r1"}, "ok", 200)
        self.assertEqual(
            read(message),
            (200, "ok", [("r0", "", 200, "", {}, b"a"), ("r1", "", 200, "", {}, b'{\n  "b": 1\n}')]),
        )

    def test_what_the_handler_set(self) -> None:
        context = Context("m", "/d", None, 1, None, "1")
        context.request_processor = [RequestProcessor({})]
        context.set_response_content_type(0, "text/plain")
        context.set_response_header(0, "k", "v")
        context.set_response_status(201, "Made", 0)
        _, _, predictions = read(create_predict_response([b"x"], {0: "r"}, "ok", 200, context, True))
        headers = {"k": "v", "ts_stream_next": "true"}
        self.assertEqual(predictions, [("r", "text/plain", 201, "Made", headers, b"x")])
        self.assertEqual(context.get_response_content_type(0), "text/plain")

    def test_answers_with_more_parts_say_so(self) -> None:
        context = Context("m", "/d", None, 3, None, "1")
        context.request_processor = [RequestProcessor({}) for _ in range(3)]
        ids = {0: "r0", 1: "r1", 2: "r2"}

        def told() -> list[str | None]:
            _, _, predictions = read(create_predict_response(["a", "b", "c"], ids, "ok", 200, context))
            return [headers.get("ts_stream_next") for _, _, _, _, headers, _ in predictions]

        over = [True, False, None]
        context.stopping_criteria = {
            place: lambda answer, place=place: over[place]  # type: ignore[misc]
            for place in ids
        }
        self.assertEqual(told(), ["false", "true", None])
        context.stopping_criteria = None
        self.assertEqual(told(), ["false", "false", None])

    def test_failures(self) -> None:
        self.assertEqual(
            read(create_predict_response(None, {0: "r"}, "bad", 507)),
            (507, "bad", [("r", "", 507, "", {}, b"error")]),
        )
        code, text, _ = read(create_predict_response([object()], {0: "r"}, "ok", 200))
        self.assertEqual((code, text), (503, "Unsupported model output data type."))


class ServiceTests(SynchronousTestCase):
    """What a handler's own test may do with a service."""

    def setUp(self) -> None:
        self.seen: list[Any] = []
        logger = logging.getLogger("modelserver.child.handler_tests.service")
        logger.disabled = True
        self.addCleanup(setattr, logger, "disabled", False)

    def answer(self, entry: Any) -> tuple[int, str, list[Any]]:
        """What a service with this entry point answers to a batch."""
        self.service = Service("m", "/d", None, entry, None, 2, metrics_cache=HandlerMetrics(model_name="m"))
        return read(self.service.predict(BATCH))

    def test_batch(self) -> None:
        def entry(rows: list[Any], context: Context) -> list[Any]:
            self.seen = [rows, context.get_request_header(0, "x-a"), context.get_request_header(0, "body")]
            return ["a", "b"]

        code, text, predictions = self.answer(entry)
        self.assertEqual(
            (code, text, [prediction[0] for prediction in predictions]),
            (200, "Prediction success", ["r0", "r1"]),
        )
        self.assertEqual(
            self.seen, [[{"body": {"a": 1}}, {"data": b"2"}], "1", {"content-type": "application/json"}]
        )
        (record,) = drained(self.service.context)
        self.assertEqual((record["name"], record["request_id"]), ("PredictionTime", "r0,r1"))

    def test_failures(self) -> None:
        def raising(error: Exception) -> Any:
            def entry(rows: object, context: object) -> object:
                raise error

            return entry

        for entry, code, text in (
            (raising(PredictionException("no", 513)), 513, "no"),
            (raising(MemoryError()), 507, "Out of resources"),
            (raising(ValueError("x")), 503, "Prediction failed"),
            (lambda rows, context: "text", 503, "Invalid model predict output"),
            (lambda rows, context: ["one"], 503, "number of batch response mismatched"),
        ):
            self.assertEqual(self.answer(entry)[:2], (code, text))
        self.assertRaises(ValueError, Service("m", "/d", None, counted, None, 1).predict, None)

    def test_multi_model_servers_metrics_are_new_for_each_batch(self) -> None:
        def entry(rows: object, context: Context) -> list[Any]:
            self.seen.append(context.metrics)
            return ["a", "b"]

        service = MmsService("m", "/d", None, entry, None, 2)
        self.assertIsNone(service.context.metrics)
        service.predict(BATCH)
        service.predict(BATCH)
        self.assertIsNot(*self.seen)
        self.assertIsInstance(self.seen[0], MmsMetricsStore)

    def test_socket_and_metrics_of_old(self) -> None:
        service = Service("m", "/d", None, counted, None, 1)
        service.set_cl_socket("socket")
        self.assertEqual(service.context.cl_socket, "socket")
        emit_metrics(["one"])
