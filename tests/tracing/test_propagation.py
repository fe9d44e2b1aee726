"""Trace contexts in headers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.protocol.trace_line import trace_line
from modelserver.tracing.propagation import SpanContext, read_parent

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
GOOD = b"00-%b-%b-01" % (TRACE, SPAN)


class ParentTests(SynchronousTestCase):
    """What a client's headers say."""

    def test_ids_and_the_decision_are_read(self) -> None:
        parent = read_parent(GOOD)
        assert parent is not None
        self.assertEqual(parent.context.trace_id, int(TRACE, 16))
        self.assertEqual(parent.context.span_id, int(SPAN, 16))
        self.assertTrue(parent.is_sampled)
        self.assertEqual(parent.context.shown, TRACE.decode())

    def test_only_the_first_bit_of_the_flags_decides(self) -> None:
        for flags, is_sampled in ((b"00", False), (b"02", False), (b"03", True), (b"ff", True)):
            parent = read_parent(GOOD[:-2] + flags)
            assert parent is not None
            self.assertEqual(parent.is_sampled, is_sampled, flags)

    def test_later_versions_may_have_more_behind(self) -> None:
        self.assertIsNotNone(read_parent(b"01" + GOOD[2:] + b"-more"))

    def test_what_is_no_context_is_none(self) -> None:
        for value in (
            None,
            b"",
            GOOD + b"-more",
            b"ff" + GOOD[2:],
            GOOD.upper(),
            GOOD.replace(TRACE, b"0" * 32),
            GOOD.replace(SPAN, b"0" * 16),
            GOOD + b" ",
            b"00-" + TRACE + b"-" + SPAN,
        ):
            self.assertIsNone(read_parent(value), value)

    def test_state_is_passed_on_as_it_came(self) -> None:
        for state, kept in ((b"a=1,b=2", "a=1,b=2"), (None, ""), (b"\xff", ""), (b"a" * 513, "")):
            parent = read_parent(GOOD, state)
            assert parent is not None
            self.assertEqual(parent.context.state, kept)

    def test_a_line_is_read_as_it_was_written(self) -> None:
        context = SpanContext(5, 7)
        name, _, value = trace_line(context.trace_id, context.span_id).partition(b": ")
        parent = read_parent(value.removesuffix(b"\r\n"))
        self.assertEqual(name, b"traceparent")
        assert parent is not None
        self.assertEqual(parent.context, context)
        self.assertTrue(parent.is_sampled)
