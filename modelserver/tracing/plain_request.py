"""A traced request as most are: one job, which was a batch by itself, and nothing else to tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from modelserver.traces import Attributes, FixedAttributes
from modelserver.tracing.propagation import SpanContext

PARTS = 6
"""The spans of such a request: itself, queue, batch, decode, handler, respond."""
RequestAttributes = tuple[FixedAttributes, FixedAttributes, Attributes]
UNNAMED = 4
"""Those of them that have no id before the request is over: all but the request and its handler's call."""


class LoneCall(NamedTuple):
    """
    What became of a job that was a batch by itself. Times are the clock's (monotonic) seconds.

    :param since: when it began to wait.
    :param assigned: when a worker got it.
    :param begun: when that began to decode it.
    :param called: when the handler was called.
    :param returned: when the handler was done.
    :param answered: when the answer came.
    :param attributes: of the batch.
    :param handler: what names the handler's call.
    """

    since: float
    assigned: float
    begun: float
    called: float
    returned: float
    answered: float
    attributes: FixedAttributes
    handler: SpanContext


class PlainRequest(NamedTuple):
    """
    A request that is over, with all of its spans.

    :param parent: None: it begins its trace.
    :param epoch: seconds since the epoch at which the clock was at 0.
    :param started: the clock's seconds; so is ``ended``.
    :param attributes: those that many requests have, of what was asked and of the answer, and the others; no
        name is in two of them.
    :param ids: 64 random bits for each of the ``UNNAMED``.
    """

    name: str
    context: SpanContext
    parent: SpanContext | None
    epoch: float
    started: float
    ended: float
    attributes: RequestAttributes
    call: LoneCall
    ids: int


# A named tuple's own constructor is a function of Python's.
lone_call: Callable[
    [tuple[float, float, float, float, float, float, FixedAttributes, SpanContext]], LoneCall
] = partial(tuple.__new__, LoneCall)
plain_request: Callable[
    [tuple[str, SpanContext, SpanContext | None, float, float, float, RequestAttributes, LoneCall, int]],
    PlainRequest,
] = partial(tuple.__new__, PlainRequest)
