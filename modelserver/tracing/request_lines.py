"""A line of the log for each traced request, in the stead of spans that are sent to a collector."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field
from twisted.logger import Logger

from modelserver.language.attributes import define
from modelserver.tracing.spans import SERVER, FinishedSpan

LEFT_OUT = ("batch",)
"""Spans whose parts are told in their place."""
_STATUS = "http.response.status_code", "rpc.response.status_code"

_log = Logger()


@define(eq=False)
class RequestLines:
    """
    Writes what each request spent its time on, as soon as it has ended.

    It stands for ``OutboundSpans`` where ``OTEL_TRACES_EXPORTER`` is ``console``, and needs no library.
    """

    put_plain: None = field(default=None, init=False)
    """There is no other way to tell a plain request: see ``OutboundSpans``."""
    ended: Callable[[], object] = lambda: None
    sent: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)

    def put(self, spans: Sequence[FinishedSpan]) -> None:
        """Write the line of a request; spans of other things are passed over."""
        self.sent += len(spans)
        if spans and spans[-1].kind == SERVER:
            _log.info("{line}", line=line_of(spans))

    def start(self) -> None:
        """Do nothing: there is nobody to send to."""

    def end(self) -> None:
        """Everything is written."""
        self.ended()

    def abort(self) -> None:
        """Everything is written."""


def line_of(spans: Sequence[FinishedSpan]) -> str:
    """
    Return a request in one line: its name, status, milliseconds, and those of its parts.

    :param spans: of one request, with that of the whole at the end.
    """
    *parts, whole = spans
    status = next((str(whole.attributes[key]) for key in _STATUS if key in whole.attributes), "")
    words = " ".join(word for word in (whole.name, status, _milliseconds(whole)) if word)
    children = _children(whole, parts)
    return f"{words}: {children}" if children else words


def _children(parent: FinishedSpan, spans: Sequence[FinishedSpan]) -> str:
    """Return the parts of a span, in the order of their beginnings, with their own parts in parentheses."""
    named: list[str] = []
    own = [span for span in spans if span.parent is not None and span.parent == parent.context]
    for span in sorted(own, key=lambda each: each.start):
        inner = _children(span, spans)
        if span.name in LEFT_OUT and inner:
            named.append(inner)
            continue
        named.append(f"{span.name} {_milliseconds(span)}" + (f" ({inner})" if inner else ""))
    return ", ".join(named)


def _milliseconds(span: FinishedSpan) -> str:
    return f"{(span.end - span.start) / 1e6:.1f} ms"
