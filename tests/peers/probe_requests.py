"""What is asked of the probe handler: requests that every server under test shall answer alike."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

HANDLER = Path(__file__).parent / "probe_handler.py"
LONGEST = 60.0
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=B"}
PARTS = (
    b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n'
    b'--B\r\nContent-Disposition: form-data; name="f"; filename="f.json"\r\n'
    b'Content-Type: application/json\r\n\r\n{"x": 1}\r\n'
    b'--B\r\nContent-Disposition: form-data; name="t"; filename="t.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\ntext\r\n"
    b'--B\r\nContent-Disposition: form-data; name="n"; filename="n"\r\n\r\nraw\r\n'
    b'--B\r\nContent-Disposition: form-data; name="j"\r\nContent-Type: application/json\r\n\r\n{"y": 2}\r\n'
    b'--B\r\nContent-Disposition: form-data; name="d"; filename="1"\r\n'
    b"Content-Type: text/plain\r\n\r\nfirst\r\n"
    b'--B\r\nContent-Disposition: form-data; name="d"; filename="2"\r\n'
    b"Content-Type: text/plain\r\n\r\nlast\r\n"
    b"--B--\r\n"
)
IDENTITY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@frozen
class Ask:
    """One request."""

    path: str = "/predictions/probe"
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict)
    method: str = "POST"

    @classmethod
    def do(cls, what: str, **more: object) -> Ask:
        """Have the handler do something."""
        return cls(body=b"x", headers={"X-Do": what}, **more)  # type: ignore[arg-type]  # the caller's names


@frozen
class Told:
    """
    An answer as far as servers shall agree on it.

    :param headers: without those that every answer has, which ``ask`` has checked.
    """

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes


def ask(port: int, wanted: Ask) -> Told:
    """
    One request on a connection of its own.

    :raises AssertionError: a header that every answer must have is missing or wrong.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST)
    try:
        connection.request(wanted.method, wanted.path, wanted.body, dict(wanted.headers))
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    headers = {name.lower(): value for name, value in response.getheaders()}
    assert IDENTITY.fullmatch(headers.pop("x-request-id")), headers
    assert headers.pop("pragma") == "no-cache", headers
    assert headers.pop("cache-control") == "no-cache; no-store, must-revalidate, private", headers
    assert headers.pop("expires") == "Thu, 01 Jan 1970 00:00:00 UTC", headers
    if response.status == 204:
        assert "content-length" not in headers and not body, headers
    elif wanted.method != "HEAD" and headers.get("transfer-encoding") != "chunked":
        assert int(headers.pop("content-length")) == len(body), headers
    headers.pop("date", None)
    return Told(response.status, response.reason, headers, body)


DONE = (
    "bytes",
    "bytearray",
    "str",
    "dict",
    "list",
    "number",
    "none",
    "type",
    "header",
    "status",
    "status201",
    "status204",
    "nophrase",
    "allstatus",
    "exception",
    "prediction",
    "prediction413",
    "predictiondefault",
    "memory",
    "wrongcount",
    "nolist",
    "tuple",
    "unserializable",
)
"""What the probe is told to do beside either peer."""

SAME: dict[str, Ask] = {
    "bytes": Ask(body=b"\x00\xff"),
    "nothing": Ask(),
    "GET": Ask(method="GET"),
    "PUT": Ask(method="PUT", body=b"p"),
    "PATCH": Ask(method="PATCH", body=b"p"),
    "DELETE": Ask(method="DELETE", body=b"d"),
    "JSON": Ask(body=b'{"a": [1, null, "x"]}', headers=JSON),
    "text": Ask(body="grüß".encode(), headers=TEXT),
    "form": Ask(body=b"a=1&b=x%20y&a=2&e=", headers=FORM),
    "form of a word": Ask(body=b"word", headers=FORM),
    "form that ends in a word": Ask(body=b"a=1&word", headers=FORM),
    "form with a word": Ask(body=b"word&a=1", headers=FORM),
    "multipart": Ask(body=PARTS, headers=MULTIPART),
    "query of a prediction": Ask("/predictions/probe?q=1", b"x"),
    "query of an invocation": Ask("/invocations?model_name=probe&q=1", b"x"),
    "query of an invoke": Ask("/models/probe/invoke?q=1&q=2&z=", b"x"),
    "query of the old route": Ask("/probe/predict?q=1", b"x"),
    "only model": Ask("/invocations", b"x"),
    "explanation": Ask("/explanations/probe", b"x"),
    "KServe 1": Ask("/v1/models/probe:predict", b"x"),
    "ping": Ask("/ping", method="GET"),
    "unknown model": Ask("/predictions/nope", b"x"),
    "unknown route": Ask("/nothing", method="GET"),
    **{what: Ask.do(what) for what in DONE},
}
"""Requests whose answers are those of either peer: status, reason phrase, headers and body."""
