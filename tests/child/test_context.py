"""What handlers read and set through their context."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import modelserver
from modelserver.child.context import (
    Context,
    MmsContext,
    PredictionException,
    RequestProcessor,
    new_context,
    parse_headers,
)
from modelserver.child.metrics.mms import MmsMetricsStore
from modelserver.child.metrics.torchserve import HandlerMetrics
from tests.harness.loops import load_request

BLOCK = b"Host: here\r\nX-Trace: abc\r\ncontent-type:text/plain \r\n"
names = st.text("abcdefgXYZ-", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12)


def make_context(count: int = 1, **more: object) -> Context:
    """A context with some requests in hand."""
    context = Context("m", "/models/m", {"model": {"modelName": "m"}}, 4, None, "1.0", **more)  # type: ignore[arg-type]
    context.request_ids = {number: f"id-{number}" for number in range(count)}
    context.request_processor = [RequestProcessor(BLOCK) for _ in range(count)]
    return context


class RequestProcessorTests(SynchronousTestCase):
    """Headers are found however they are spelled, and wherever they come from."""

    def test_original_spelling_comes_first(self) -> None:
        processor = RequestProcessor({"x-a": "1", "X-A": "2"})
        self.assertEqual(processor.get_request_property("x-a"), "1")
        self.assertEqual(processor.get_request_property("X-A"), "2")

    def test_any_case_is_found(self) -> None:
        processor = RequestProcessor(BLOCK)
        self.assertEqual(processor.get_request_property("x-trace"), "abc")
        self.assertEqual(processor.get_request_property("Content-Type"), "text/plain")
        self.assertIsNone(processor.get_request_property("absent"))

    def test_injected_headers_win(self) -> None:
        processor = RequestProcessor(b"Explain: True\r\nA: 1\r\n", {"explain": "False"})
        self.assertEqual(processor.get_request_property("explain"), "False")
        self.assertEqual(
            processor.get_request_properties(), {"Explain": "True", "A": "1", "explain": "False"}
        )
        self.assertEqual(processor.get_request_property("explain"), "False")

    def test_parameter_headers_keep_their_shape(self) -> None:
        processor = RequestProcessor(b"", {"image": {"content-type": "image/png"}})
        self.assertEqual(processor.get_request_property("image"), {"content-type": "image/png"})

    def test_functions_are_called_once_and_only_on_demand(self) -> None:
        calls: list[str] = []

        def headers() -> dict[str, object]:
            calls.append("headers")
            return {"A": "1"}

        def injected() -> dict[str, object]:
            calls.append("injected")
            return {"B": "2"}

        processor = RequestProcessor(headers, injected)
        self.assertEqual(calls, [])
        self.assertEqual(processor.get_request_property("a"), "1")
        self.assertEqual(processor.get_request_property("B"), "2")
        self.assertEqual(calls, ["headers", "injected"])

    def test_a_mapping_is_not_copied(self) -> None:
        headers = {"A": "b"}
        self.assertIs(RequestProcessor(headers).get_request_properties(), headers)

    def test_answer_starts_plain(self) -> None:
        processor = RequestProcessor(BLOCK)
        self.assertFalse(processor.changed)
        self.assertEqual(processor.get_response_status_code(), 200)
        self.assertIsNone(processor.get_response_status_phrase())
        self.assertEqual(processor.get_response_headers(), {})
        self.assertIsNone(processor.get_response_header("a"))
        self.assertFalse(processor.changed)

    def test_answer_keeps_what_is_set(self) -> None:
        processor = RequestProcessor(BLOCK)
        processor.report_status(201, "Made")
        processor.add_response_property("a", "1")
        processor.add_response_property("a", "2")
        self.assertTrue(processor.changed)
        self.assertEqual((processor.status, processor.phrase), (201, "Made"))
        self.assertEqual(processor.get_response_headers(), {"a": "2"})
        self.assertEqual(processor.get_response_header("a"), "2")

    def test_answers_do_not_share_headers(self) -> None:
        first, second = RequestProcessor(BLOCK), RequestProcessor(BLOCK)
        first.add_response_property("a", "1")
        self.assertEqual(second.get_response_headers(), {})

    @given(st.dictionaries(names, values))
    def test_every_header_of_a_block_is_found(self, headers: dict[str, str]) -> None:
        block = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
        self.assertEqual(parse_headers(block), headers)
        processor = RequestProcessor(memoryview(block))
        for name, value in headers.items():
            self.assertEqual(processor.get_request_property(name), value)
            self.assertIsNotNone(processor.get_request_property(name.swapcase()))


class ContextTests(SynchronousTestCase):
    """The members that the peers' handlers use."""

    def test_system_properties(self) -> None:
        context = Context("m", "/d", None, 2, 3, "0.1", False)
        self.assertEqual(
            context.system_properties,
            {
                "model_dir": "/d",
                "gpu_id": 3,
                "batch_size": 2,
                "server_name": "MMS",
                "server_version": "0.1",
                "limit_max_image_pixels": False,
            },
        )

    def test_members_of_a_new_context(self) -> None:
        context = Context("m", "/d", {"model": {}}, 1, None, "0.1")
        self.assertEqual(context.model_name, "m")
        self.assertEqual(context.manifest, {"model": {}})
        self.assertEqual(context.model_yaml_config, {})
        self.assertIsNone(context.metrics)
        self.assertIsNone(context.stopping_criteria)
        self.assertIsNone(context.cl_socket)
        self.assertIsNone(context.send_parts)
        self.assertIsNone(context.get_request_id())

    def test_mms_context_has_mms_properties(self) -> None:
        context = MmsContext("m", "/d", None, 1, None, "1.1")
        self.assertEqual(
            sorted(context.system_properties),
            ["batch_size", "gpu_id", "model_dir", "server_name", "server_version"],
        )
        self.assertIsNone(context.metrics)

    def test_request_ids(self) -> None:
        context = make_context(2)
        self.assertEqual(context.get_request_id(), "id-0")
        self.assertEqual(context.get_request_id(1), "id-1")
        self.assertIsNone(context.get_request_id(2))

    def test_request_ids_may_be_made_on_demand(self) -> None:
        context, calls = make_context(), []

        def ids() -> dict[int, str]:
            calls.append(1)
            return {0: "late"}

        context.request_ids = ids
        self.assertEqual(calls, [])
        self.assertEqual(context.get_request_id(), "late")
        self.assertEqual(context.request_ids, {0: "late"})
        self.assertEqual(calls, [1])

    def test_headers_of_each_request(self) -> None:
        context = make_context(2)
        context.request_processor[1] = RequestProcessor({"A": "b"})
        self.assertEqual(context.get_request_header(0, "host"), "here")
        self.assertEqual(context.get_request_header(1, "a"), "b")
        self.assertEqual(context.get_all_request_header(1), {"A": "b"})
        self.assertRaises(IndexError, context.get_request_header, 2, "a")

    def test_answers(self) -> None:
        context = make_context(2)
        self.assertEqual(context.get_response_status(0), (200, None))
        context.set_response_status(404, "Nothing", 1)
        context.set_response_content_type(1, "text/plain")
        context.set_response_header(1, "k", "v")
        self.assertEqual(context.get_response_status(1), (404, "Nothing"))
        self.assertEqual(context.get_response_content_type(1), "text/plain")
        self.assertEqual(context.get_response_headers(1), {"content-type": "text/plain", "k": "v"})
        self.assertIsNone(context.get_response_content_type(0))
        context.set_all_response_status(201, "Made")
        self.assertEqual([context.get_response_status(i) for i in (0, 1)], [(201, "Made")] * 2)

    def test_status_without_requests(self) -> None:
        context = make_context(0)
        context.set_response_status(404, "Nothing")
        context.set_all_response_status(404, "Nothing")
        self.assertRaises(IndexError, make_context(1).set_response_status, 404, "Nothing", 1)

    def test_all_values_of_a_repeated_field(self) -> None:
        context = make_context(2)
        context.repeated_fields = {1: {"data": [b"1", b"2"]}}
        self.assertEqual(context.get_all_values(1, "data"), [b"1", b"2"])
        self.assertEqual(context.get_all_values(1, "other"), [])
        self.assertEqual(context.get_all_values(0, "data"), [])

    def test_sequence_id(self) -> None:
        context = make_context()
        self.assertIsNone(context.get_sequence_id(0))
        context.request_processor = [RequestProcessor({"ts_request_sequence_id": "s1"})]
        self.assertEqual(context.get_sequence_id(0), "s1")

    def test_sequence_header_names_come_from_the_environment(self) -> None:
        os.environ["TS_HEADER_KEY_SEQUENCE_ID"] = "x-seq"
        os.environ["TS_REQUEST_SEQUENCE_END"] = "x-end"
        self.addCleanup(os.environ.pop, "TS_HEADER_KEY_SEQUENCE_ID")
        self.addCleanup(os.environ.pop, "TS_REQUEST_SEQUENCE_END")
        context = make_context()
        self.assertEqual(context.header_key_sequence_id, "x-seq")
        self.assertEqual(context.header_key_sequence_start, "ts_request_sequence_start")
        self.assertEqual(context.header_key_sequence_end, "x-end")

    def test_equality(self) -> None:
        first, second = Context("m", "/d", None, 1, None, "1"), Context("m", "/d", None, 1, None, "1")
        self.assertEqual(first, second)
        self.assertNotEqual(first, Context("n", "/d", None, 1, None, "1"))
        self.assertNotEqual(first, "context")
        self.assertRaises(TypeError, hash, first)


class NewContextTests(SynchronousTestCase):
    """A worker's context says what the server told the worker."""

    def make(self, dialect: str) -> Context:
        """The context for a load request."""
        told = {"name": "m", "folder": "/d", "manifest": {"a": 1}, "config": {"b": 2}, "batch_size": 3}
        return new_context(load_request(**told, gpu_id=1, dialect=dialect))

    def test_torchserve(self) -> None:
        context = self.make("torchserve")
        self.assertEqual((context.model_name, context.manifest), ("m", {"a": 1}))
        self.assertEqual(context.model_yaml_config, {"b": 2})
        self.assertEqual(context.system_properties["server_version"], modelserver.__version__)
        self.assertEqual(context.system_properties["peer_version"], "0.12.0")
        self.assertEqual(context.system_properties["gpu_id"], 1)
        self.assertIsInstance(context.metrics, HandlerMetrics)

    def test_mms(self) -> None:
        context = self.make("mms")
        self.assertIsInstance(context, MmsContext)
        self.assertEqual(context.system_properties["batch_size"], 3)
        self.assertIsInstance(context.metrics, MmsMetricsStore)


class PredictionExceptionTests(SynchronousTestCase):
    """A handler's own refusal carries a text and a code."""

    def test_text_and_code(self) -> None:
        error = PredictionException("no", 513)
        self.assertEqual((error.message, error.error_code, str(error)), ("no", 513, "no : 513"))
        self.assertEqual(PredictionException("no").error_code, 500)
