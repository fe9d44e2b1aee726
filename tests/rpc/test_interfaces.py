"""The call in memory behaves as the transport's does."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ModelNotFound
from modelserver.rpc.codes import CallStatus, Code
from modelserver.rpc.interfaces import Call
from modelserver.testing.rpc_calls import MemoryCall


class MemoryCallTests(SynchronousTestCase):
    """A call without a connection."""

    def test_it_is_a_call(self) -> None:
        call: Call = MemoryCall()
        self.assertFalse(call.is_over)

    def test_a_reply_ends_it_and_nothing_is_sent_after(self) -> None:
        call = MemoryCall()
        call.reply(b"one")
        self.assertFalse(call.send(b"two"))
        call.finish(Code.INTERNAL)
        self.assertEqual(([b"one"], CallStatus(Code.OK)), (call.messages, call.status))

    def test_trailing_metadata_of_both_kinds_are_kept_in_order(self) -> None:
        call = MemoryCall()
        call.trailing = [("a", "1")]
        call.finish(Code.ABORTED, "why", [("b-bin", b"\0")])
        self.assertEqual(CallStatus(Code.ABORTED, "why", (("a", "1"), ("b-bin", b"\0"))), call.status)

    def test_cancelling_tells_the_method_once(self) -> None:
        told: list[Code] = []
        call = MemoryCall(on_cancelled=told.append)
        call.cancel(Code.DEADLINE_EXCEEDED)
        call.cancel()
        self.assertEqual([Code.DEADLINE_EXCEEDED], told)

    def test_an_answered_call_is_not_cancelled(self) -> None:
        told: list[Code] = []
        call = MemoryCall(on_cancelled=told.append)
        call.reply(b"")
        call.cancel()
        self.assertEqual([], told)

    def test_errors_end_it_as_the_site_says(self) -> None:
        call = MemoryCall(status_of=lambda error: CallStatus(Code.NOT_FOUND, str(error)))
        call.fail(ModelNotFound("nope"))
        self.assertEqual(CallStatus(Code.NOT_FOUND, "Model not found: nope"), call.status)

    def test_the_last_of_several_values_counts(self) -> None:
        call = MemoryCall(metadata=[("a", "1"), ("a", "2")])
        self.assertEqual((b"2", None), (call.field(b"a"), call.field(b"b")))
        self.assertEqual(b"a: 1\r\na: 2\r\n", call.header_block)
