"""The one limit of a body's size, whichever route the request is for."""

from __future__ import annotations

import json
from unittest import TestCase

from tests.harness.connections import LARGEST_BODY, ConnectionStage


class BodyLimitTests(TestCase):
    """A registration, which Twisted Web reads."""

    def test_a_body_over_the_limit(self) -> None:
        client = ConnectionStage().connect()
        start = b"POST /models?url=noop.mar HTTP/1.1\r\nHost: x\r\n"
        client.send(start + b"Content-Length: %d\r\n\r\n" % (LARGEST_BODY + 1))
        client.finish()
        (got,) = client.got
        self.assertEqual(got.status, 413)
        self.assertIn("max_request_size", json.loads(got.body)["message"])
