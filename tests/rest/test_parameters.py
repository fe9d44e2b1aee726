"""Parameters, as queries, forms and JSON bodies bring them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import BadRequest, ParameterMissing
from modelserver.management.call_parameters import LARGEST, Fields, Parameter
from modelserver.management.parameters import page_request, register_request, scale_request
from modelserver.rest.lenient_json import read_object
from modelserver.rest.parameters import LONGEST_FIELDS, read_fields, read_query
from modelserver.version_settings.values import AUTO_DELAY

COUNT = Parameter("count", "integer", "", default=7, least=0, most=100)
IS_ON = Parameter("on", "boolean", "", default=True)
WORD = Parameter("word", "text", "", choices=("a", "b"))
NAME = Parameter("name", "text", "", pattern="[a-z]+")


class QueryTests(SynchronousTestCase):
    """Query strings and forms."""

    def test_values(self) -> None:
        for query, values in (
            (b"", {}),
            (b"a=1&b=2", {"a": "1", "b": "2"}),
            (b"a=1&a=2", {"a": "1"}),
            (b"a", {"a": ""}),
            (b"a=%C3%A9+x", {"a": "é x"}),
            (b"a=\xc3\xa9&b=%ff", {"a": "é", "b": "\ufffd"}),
        ):
            self.assertEqual(read_query(query), values)

    def test_too_many_are_refused(self) -> None:
        self.assertRaises(BadRequest, read_query, b"&".join([b"a=1"] * 1001))

    def test_the_content_type_says_where_parameters_are(self) -> None:
        query, form = b"a=query", b"a=form&b=form"
        for kind, body, values, typed in (
            (b"", form, {"a": "query"}, False),
            (b"application/x-www-form-urlencoded", form, {"a": "query", "b": "form"}, False),
            (b"Application/JSON; charset=x", b'{"b": 1}', {"b": 1}, True),
        ):
            fields = read_fields(query, kind, body, strict=False)
            self.assertEqual((fields.values, fields.typed), (values, typed))

    def test_a_body_that_would_take_long_to_read_is_refused(self) -> None:
        for kind in (b"application/json", b"application/x-www-form-urlencoded"):
            body = b'{"a": "' + b"x" * (LONGEST_FIELDS - 9) + b'"}'
            self.assertEqual(len(body), LONGEST_FIELDS)
            read_fields(b"", kind, body, strict=False)
            self.assertRaises(BadRequest, read_fields, b"", kind, body + b" ", strict=False)
        self.assertEqual(read_fields(b"", b"text/plain", b" " * LONGEST_FIELDS * 2, strict=False).values, {})


class FieldTests(SynchronousTestCase):
    """One value."""

    def test_integers(self) -> None:
        for value, number, is_ignored in (
            ("5", 5, False),
            ("+5", 5, False),
            ("-0", 0, False),
            ("007", 7, False),
            ("0" * 5000 + "9", 9, False),
            ("", 7, True),
            ("nan", 7, True),
            ("1.5", 7, True),
            (" 5", 7, True),
            ("٣", 7, True),
        ):
            fields = Fields({"count": value})
            self.assertEqual(
                (fields.integer(COUNT), fields.ignored), (number, ["count"] if is_ignored else [])
            )
        self.assertEqual(Fields({}).integer(COUNT), 7)

    def test_integers_out_of_range(self) -> None:
        for value in ("-1", "101", "9" * 5000, "-" + "9" * 30, str(LARGEST + 1)):
            self.assertRaises(BadRequest, Fields({"count": value}).integer, COUNT)

    def test_booleans(self) -> None:
        for value, found, is_ignored in (
            ("true", True, False),
            ("TRUE", True, False),
            ("false", False, False),
            ("1", False, True),
            ("", False, True),
        ):
            fields = Fields({"on": value})
            self.assertEqual((fields.boolean(IS_ON), bool(fields.ignored)), (found, is_ignored))
        self.assertTrue(Fields({}).boolean(IS_ON))

    def test_texts(self) -> None:
        self.assertEqual(Fields({"word": "a"}).text(WORD), "a")
        self.assertIsNone(Fields({"word": ""}).text(WORD))
        self.assertRaises(BadRequest, Fields({"word": "c"}).text, WORD)
        self.assertEqual(Fields({"name": "abc"}).text(NAME), "abc")
        self.assertRaises(BadRequest, Fields({"name": "abc\n"}).text, NAME)

    def test_strict_refuses_what_cannot_be_read(self) -> None:
        self.assertRaises(BadRequest, Fields({"count": "x"}, strict=True).integer, COUNT)
        self.assertRaises(BadRequest, Fields({"on": "x"}, strict=True).boolean, IS_ON)

    def test_values_of_json(self) -> None:
        for value, number in ((5, 5), (5.0, 5), ("5", 5), (None, 7)):
            self.assertEqual(Fields({"count": value}, typed=True).integer(COUNT), number)
        mistakes: tuple[object, ...] = (5.5, True, "x", [], {}, float("nan"), float("inf"))
        for wrong in mistakes:
            self.assertRaises(BadRequest, Fields({"count": wrong}, typed=True).integer, COUNT)
        for truth, found in ((True, True), ("true", True), (False, False), (None, True)):
            self.assertEqual(Fields({"on": truth}, typed=True).boolean(IS_ON), found)
        for wrong in (1, "yes", []):
            self.assertRaises(BadRequest, Fields({"on": wrong}, typed=True).boolean, IS_ON)
        self.assertEqual(Fields({"t": 1.5}, typed=True).text(Parameter("t", "text", "")), "1.5")
        self.assertEqual(Fields({"t": True}, typed=True).text(Parameter("t", "text", "")), "true")
        self.assertRaises(BadRequest, Fields({"word": []}, typed=True).text, WORD)

    @given(st.text())
    def test_any_text_is_a_number_a_default_or_a_refusal(self, value: str) -> None:
        try:
            number = Fields({"count": value}).integer(COUNT)
        except BadRequest:
            return
        self.assertTrue(number is not None and 0 <= number <= 100)

    def test_what_a_dialect_does_not_know_is_ignored(self) -> None:
        parameter = Parameter("x", "text", "", dialects=("torchserve",))
        fields = Fields({"x": "1", "y": "2"})
        self.assertEqual(fields.known_to("torchserve", [parameter]).values, {"x": "1"})
        self.assertEqual(fields.known_to("mms", [parameter]).values, {})


class LenientJsonTests(SynchronousTestCase):
    """What the peers' parser takes."""

    def test_objects(self) -> None:
        for body, value in (
            (b'{"a": 1, "b": "x"}', {"a": 1, "b": "x"}),
            (b"\xef\xbb\xbf{}", {}),
            (b"{}", {}),
            (b" { } ", {}),
            (
                b"{'a': 'x', b: true, c: 5, d: null, e: word}",
                {"a": "x", "b": True, "c": 5, "d": None, "e": "word"},
            ),
            (b"{a:1,b:'2'}", {"a": 1, "b": "2"}),
            (rb"""{'a': 'it\'s "q" \\ \u00e9'}""", {"a": 'it\'s "q" \\ é'}),
            (b"{'a': 'true'}", {"a": "true"}),
        ):
            self.assertEqual(read_object(body), value)

    def test_what_is_none(self) -> None:
        for body in (
            b"",
            b"\n",
            b"{",
            b"{a}",
            b"{a:}",
            b"{a:1,}",
            b"{a:1} x",
            b"{a:[1]}",
            b"{'a: 1}",
            b"[1]",
            b'"a"',
            b"null",
            b"\xff",
            b"{a:" * 3000,
            b"{a:'" + b"x" * 70000 + b"'}",
            rb"{'a': '\q'}",
        ):
            self.assertRaises(BadRequest, read_object, body)

    @given(st.binary(max_size=40))
    def test_any_bytes_are_an_object_or_a_refusal(self, body: bytes) -> None:
        try:
            self.assertIsInstance(read_object(body), dict)
        except BadRequest:
            pass


class RequestTests(SynchronousTestCase):
    """The values that calls are made of."""

    def test_register(self) -> None:
        request = register_request(
            Fields(
                {
                    "url": "x.mar",
                    "max_batch_delay": "250",
                    "response_timeout": "-1",
                    "startup_timeout": "0",
                    "s3_sse_kms": "true",
                    "sha256": "A" * 64,
                }
            )
        )
        self.assertEqual((request.url, request.name, request.synchronous), ("x.mar", None, True))
        self.assertEqual((request.signed, request.sha256), (True, "A" * 64))
        self.assertEqual(request.overrides.settings, {"max_batch_delay": 0.25, "startup_timeout": 0.0})

    def test_the_server_chooses_the_delay_where_it_is_asked_to(self) -> None:
        asked = Fields({"url": "x", "max_batch_delay": "auto"}, strict=True)
        self.assertEqual({"max_batch_delay": AUTO_DELAY}, register_request(asked).overrides.settings)
        for wrong in ("Auto", "-1"):
            fields = Fields({"url": "x", "max_batch_delay": wrong}, strict=True)
            with self.assertRaises(BadRequest):
                register_request(fields)
        other = Fields({"url": "x", "batch_size": "auto"}, strict=True)
        self.assertRaises(BadRequest, register_request, other)

    def test_register_needs_a_url(self) -> None:
        self.assertRaises(ParameterMissing, register_request, Fields({}))
        self.assertRaises(ParameterMissing, register_request, Fields({"url": None}, typed=True))
        self.assertEqual(register_request(Fields({"url": ""})).url, "")

    def test_scale(self) -> None:
        for values, minimum, maximum, drain in (
            ({}, 1, 1, None),
            ({"min_worker": "3"}, 3, 3, None),
            ({"min_worker": "x", "max_worker": "4"}, 1, 4, None),
            ({"min_worker": "2", "max_worker": "x"}, 2, 2, None),
            ({"timeout": "0"}, 1, 1, 0.0),
            ({"timeout": "-1"}, 1, 1, None),
        ):
            request = scale_request("m", None, Fields(values))
            self.assertEqual((request.minimum, request.maximum, request.drain), (minimum, maximum, drain))

    def test_the_version_of_the_path_counts(self) -> None:
        fields = Fields({"model_version": "2"})
        self.assertEqual(scale_request("m", None, fields).version, "2")
        self.assertEqual(scale_request("m", "1", fields).version, "1")

    def test_pages(self) -> None:
        for values, limit, offset in (
            ({}, 100, 0),
            ({"limit": "0", "next_page_token": "3"}, 0, 3),
            ({"limit": "101", "next_page_token": "-3"}, 100, 0),
            ({"limit": "-1", "next_page_token": "x"}, 100, 0),
        ):
            page = page_request(Fields(values))
            self.assertEqual((page.limit, page.offset), (limit, offset))
