"""A span that is over, as it waits to be sent: plain values, no library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from modelserver.traces import Attributes, AttributeValue, FixedAttributes
from modelserver.tracing.propagation import SpanContext

NOTHING_FIXED = FixedAttributes({})
NO_ATTRIBUTES: Attributes = NOTHING_FIXED
INTERNAL, SERVER = "internal", "server"


class JoinedAttributes(dict[str, AttributeValue]):
    """
    Attributes of which some are those of many spans.

    :ivar own: the others; no name is in both.
    """

    __slots__ = ("fixed", "own")

    def __init__(self, fixed: FixedAttributes, own: Attributes) -> None:
        super().__init__(fixed)
        self.update(own)
        self.fixed, self.own = fixed, own


def joined(fixed: FixedAttributes, own: Attributes) -> Attributes:
    """Return all of these attributes; where a name is in both, its own value counts."""
    if not fixed:
        return own
    return JoinedAttributes(fixed, own) if fixed.keys().isdisjoint(own) else {**fixed, **own}


class Moment(NamedTuple):
    """Something that happened within a span, at so many nanoseconds since the epoch."""

    name: str
    at: int
    attributes: Attributes = NO_ATTRIBUTES


class FinishedSpan(NamedTuple):
    """
    A span that is over.

    :param kind: ``INTERNAL`` or ``SERVER``.
    :param parent: None: it begins its trace.
    :param start: nanoseconds since the epoch; so is ``end``.
    :param links: spans of other traces, or of other branches, that it has to do with.
    :param error: why it failed; None: it did not, as far as this server can tell.
    """

    name: str
    context: SpanContext
    parent: SpanContext | None
    start: int
    end: int
    kind: str = INTERNAL
    attributes: Attributes = NO_ATTRIBUTES
    moments: Sequence[Moment] = ()
    links: Sequence[SpanContext] = ()
    error: str | None = None
    is_parent_remote: bool = False
