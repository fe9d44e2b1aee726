"""Traced requests as lines of the log."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.request_lines import RequestLines, line_of
from modelserver.tracing.spans import INTERNAL, SERVER, FinishedSpan

MS = 1_000_000


def span(
    number: int, parent: int | None, name: str, begin: float, end: float, **more: object
) -> FinishedSpan:
    """A span of one trace; times are milliseconds."""
    above = None if parent is None else SpanContext(1, parent)
    return FinishedSpan(
        name,
        SpanContext(1, number),
        above,
        int(begin * MS),
        int(end * MS),
        **more,  # type: ignore[arg-type]  # the names are the caller's
    )


WHOLE = span(
    1,
    None,
    "POST /predictions/{model_name}",
    0,
    12.34,
    kind=SERVER,
    attributes={"http.response.status_code": 200},
)
PARTS = [
    span(4, 3, "handler", 2, 11),
    span(5, 4, "inference", 3, 10),
    span(2, 1, "queue", 0, 2),
    span(3, 1, "batch", 2, 11),
]


class RequestLineTests(SynchronousTestCase):
    """Spans in, a line out."""

    def test_parts_in_their_order_with_their_own_parts(self) -> None:
        self.assertEqual(
            "POST /predictions/{model_name} 200 12.3 ms: queue 2.0 ms, handler 9.0 ms (inference 7.0 ms)",
            line_of([*PARTS, WHOLE]),
        )

    def test_a_request_without_parts(self) -> None:
        self.assertEqual("POST /predictions/{model_name} 200 12.3 ms", line_of([WHOLE]))

    def test_only_requests_are_lines_and_all_spans_count(self) -> None:
        lines: list[object] = []

        @implementer(ILogObserver)
        class Keeper:
            """Keeps lines."""

            def __call__(self, event: LogEvent) -> None:
                lines.append(event.get("line"))

        keeper = Keeper()
        globalLogPublisher.addObserver(keeper)
        self.addCleanup(globalLogPublisher.removeObserver, keeper)
        written = RequestLines()
        written.put([*PARTS, WHOLE])
        written.put([span(9, None, "worker start", 0, 5, kind=INTERNAL)])
        self.assertEqual(1, len(lines))
        self.assertEqual(6, written.sent)

    def test_the_end_is_told_at_once(self) -> None:
        ended: list[bool] = []
        written = RequestLines(ended=lambda: ended.append(True))
        written.start()
        written.end()
        self.assertEqual([True], ended)
