"""The spans that a plain request stands for, one by one."""

from __future__ import annotations

from modelserver.tracing.plain_request import PlainRequest
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import INTERNAL, SERVER, FinishedSpan, joined


def spans_of(request: PlainRequest) -> list[FinishedSpan]:
    """Return them in the order in which they are sent."""
    call, root = request.call, request.context
    fixed, answer, own = request.attributes
    mask = (1 << 64) - 1
    queue, batch, decode, respond = (
        SpanContext(root.trace_id, request.ids >> shift & mask) for shift in (192, 128, 64, 0)
    )

    def at(seconds: float) -> int:
        return int((request.epoch + seconds) * 1e9)

    def part(name: str, context: SpanContext, parent: SpanContext, begin: float, end: float) -> FinishedSpan:
        return FinishedSpan(name, context, parent, at(begin), at(end), INTERNAL)

    whole = part("batch", batch, root, call.assigned, call.answered)
    return [
        part("queue", queue, root, call.since, call.assigned),
        whole._replace(attributes=call.attributes, links=(root,)),
        part("decode", decode, batch, call.begun, call.called),
        part("handler", call.handler, batch, call.called, call.returned),
        part("respond", respond, root, call.answered, request.ended),
        FinishedSpan(
            request.name,
            root,
            request.parent,
            at(request.started),
            at(request.ended),
            SERVER,
            joined(fixed, {**answer, **own}),
            is_parent_remote=request.parent is not None,
        ),
    ]
