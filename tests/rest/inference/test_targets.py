"""Which model, version and extras a request target means: a table for each dialect."""

from __future__ import annotations

import json
from unittest import TestCase

from modelserver.errors import BadRequest
from modelserver.protocol.frames import EXPLAIN, NO_PATH, QUERY
from modelserver.rest.inference.forms import field_of
from modelserver.rest.inference.targets import PredictionGrammar, PredictionTarget
from modelserver.rest.route import Asked, ListenerRole
from modelserver.rest.routes import select


def headers(**added: str) -> bytes:
    return json.dumps({"headers": added}).encode()


def query(*fields: tuple[str, str]) -> bytes:
    return json.dumps({"query": fields}).encode()


BOTH = {
    b"/predictions/m": PredictionTarget("m"),
    b"/predictions/m/": PredictionTarget("m"),
    b"/predictions/m?q=1": PredictionTarget("m"),
    b"/predictions/%6D": PredictionTarget("m"),
    b"/invocations": PredictionTarget(None, None, query(), QUERY),
    b"/invocations?model_name=m": PredictionTarget("m", None, query(("model_name", "m")), QUERY),
    b"/invocations?model_name=&model_name=m": PredictionTarget(
        "", None, query(("model_name", ""), ("model_name", "m")), QUERY
    ),
    b"/invocations?q=1": PredictionTarget(None, None, query(("q", "1")), QUERY),
    b"/models/m/invoke": PredictionTarget("m", None, query(), QUERY),
    b"/models/m/invoke?a=1&a=2&b=": PredictionTarget(
        "m", None, query(("a", "1"), ("a", "2"), ("b", "")), QUERY
    ),
    b"/m/predict": PredictionTarget("m", None, query(), QUERY),
    b"/m/predict?a=%20": PredictionTarget("m", None, query(("a", " ")), QUERY),
    b"/predictions": None,
    b"/predictions/": None,
    b"/models/m": None,
    b"/models//invoke": None,
    b"/": None,
    b"/ping": None,
    b"/predictions/%00": None,
    b"/predictions/%ff": None,
    b"/v1/models/m": None,
}
TORCHSERVE = {
    b"/predictions/m/1.0": PredictionTarget("m", "1.0"),
    b"/predictions/m/1.0/": PredictionTarget("m", "1.0"),
    b"/predictions/m/1.0/a/b": PredictionTarget("m", "1.0", headers(url_path="a/b")),
    b"/explanations/m": PredictionTarget("m", None, b"", EXPLAIN),
    b"/explanations/m/1.0": PredictionTarget("m", "1.0", b"", EXPLAIN),
    b"/explanations/m/1.0/a": PredictionTarget("m", "1.0", headers(url_path="a"), EXPLAIN),
    b"/m/1.0/predict": PredictionTarget("m", "1.0", query(), QUERY),
    b"/v1/models/m:predict": PredictionTarget("m", None, b"", NO_PATH),
    b"/v1/models/m:explain": PredictionTarget("m", None, b"", EXPLAIN | NO_PATH),
    b"/v1/models/team:m:predict": PredictionTarget("team:m", None, b"", NO_PATH),
    b"/v1/models/m:other": None,
    b"/v2/models/m/infer": PredictionTarget("m", None, b"", NO_PATH, asked=Asked.EITHER),
    b"/v2/models/m/explain": PredictionTarget("m", None, b"", EXPLAIN | NO_PATH),
    b"/v2/models/m/versions/1.0/infer": PredictionTarget("m", "1.0", b"", NO_PATH, asked=Asked.EITHER),
    b"/v2/models/m/versions/1.0/explain": PredictionTarget("m", "1.0", b"", EXPLAIN | NO_PATH),
    b"/v2/models/m": None,
    b"/wfpredict/w": PredictionTarget("w", asked=Asked.WORKFLOW),
    b"/WFpredict/w/?q=1": PredictionTarget("w", asked=Asked.WORKFLOW),
    b"/wfPredict/w/2/predict": PredictionTarget("w", "2", asked=Asked.WORKFLOW),
    b"/wfpredict/w/predict": PredictionTarget("w", "predict", asked=Asked.WORKFLOW),
    b"/wfpredict": None,
    b"/wfpredict/": None,
    b"/Predictions/m": None,
}
MMS = {
    b"/predictions/m/1.0": PredictionTarget("m"),
    b"/predictions/m/1.0/a": PredictionTarget("m"),
    b"/explanations/m": None,
    b"/m/1.0/predict": None,
    b"/v1/models/m:predict": None,
    b"/v2/models/m/infer": None,
    b"/wfpredict/w": None,
}


class TargetTests(TestCase):
    """``PredictionGrammar.resolve``, with the table of routes."""

    def check(self, table: dict[bytes, PredictionTarget | None], dialect: str) -> None:
        grammar = PredictionGrammar(select({ListenerRole.INFERENCE}, dialect))
        for target, prediction in table.items():
            with self.subTest(dialect, target=target):
                self.assertEqual(grammar.resolve(target), prediction)

    def test_routes_of_both_dialects(self) -> None:
        self.check(BOTH, "torchserve")
        self.check(BOTH, "mms")

    def test_routes_of_torchserve(self) -> None:
        self.check(TORCHSERVE, "torchserve")

    def test_routes_of_mms(self) -> None:
        self.check(MMS, "mms")


PARTS = (
    b'--B\r\nContent-Disposition: form-data; name="model_name"; filename="x"\r\n\r\nfile\r\n'
    b'--B\r\nContent-Disposition: form-data; name="model_name"\r\n\r\nm\r\n--B--\r\n'
)


class FieldTests(TestCase):
    """``field_of``: a field of a form."""

    def test_fields(self) -> None:
        form = b"application/x-www-form-urlencoded"
        for body, content_type, value in (
            (b"a=1&model_name=m", form, "m"),
            (b"model_name=m&model_name=n", form + b"; charset=utf-8", "m"),
            (b"model_name=&model_name=n", form, ""),
            (b"a=1", form, None),
            (b"model%5Fname=a+b%C3%A9", form, "a bé"),
            (b"a=" + b"%ff" * 100000 + b"&model_name=m", form, "m"),
            (b"model_name=" + b"m" * 100000, form, None),
            (PARTS, b"multipart/form-data; boundary=B", "m"),
            (PARTS, b"multipart/form-data", None),
            (b"model_name=m", b"text/plain", None),
            (b"model_name=m", b"", None),
        ):
            with self.subTest(content_type):
                self.assertEqual(field_of(body, content_type, "model_name"), value)

    def test_too_many_fields_are_refused(self) -> None:
        for count, is_refused in ((1000, False), (1001, True)):
            with self.subTest(count=count):
                try:
                    field_of(b"&".join([b"a=1"] * count), b"application/x-www-form-urlencoded", "model_name")
                except BadRequest:
                    self.assertTrue(is_refused)
                else:
                    self.assertFalse(is_refused)
