"""Parts of answers on their way out of a handler."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context, PredictionException
from modelserver.child.data.streaming import send_intermediate_predict_response


class StreamingTests(SynchronousTestCase):
    """What a handler sends reaches the loop's hook."""

    def setUp(self) -> None:
        self.sent: list[Sequence[object]] = []
        self.context = Context("m", "/d", None, 2, None, "1")
        self.context.request_ids = {0: "a", 1: "b", 2: "c"}
        self.context.send_parts = self.sent.append

    def send(self, parts: list[object], ids: dict[int, str] | None, code: int = 200) -> None:
        """Send some parts."""
        send_intermediate_predict_response(parts, ids, "a part", code, self.context)

    def test_parts_of_the_whole_batch(self) -> None:
        self.send(["1", "2", "3"], self.context.request_ids)
        self.send(["4", "5", "6"], None)
        self.assertEqual(self.sent, [["1", "2", "3"], ["4", "5", "6"]])

    def test_parts_of_some_requests(self) -> None:
        self.send(["1", "2"], {0: "c", 1: "a"})
        self.assertEqual(self.sent, [["2", b"", "1"]])

    def test_failure_ends_the_batch(self) -> None:
        error = self.assertRaises(PredictionException, self.send, ["1"], None, 507)
        self.assertEqual((error.message, error.error_code), ("a part", 507))

    def test_nowhere_to_send_to(self) -> None:
        self.context.send_parts = None
        self.assertRaises(RuntimeError, self.send, ["1"], None)
        self.assertRaises(RuntimeError, send_intermediate_predict_response, ["1"], None, "", 200)
