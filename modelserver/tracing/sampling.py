"""Which requests are traced: the samplers that OpenTelemetry's variables name."""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p
from sys import maxsize

from attrs import field

from modelserver.language.attributes import define
from modelserver.tracing.propagation import RemoteParent

ALWAYS_ON, ALWAYS_OFF, BY_RATIO = "always_on", "always_off", "traceidratio"
PARENT_BASED = "parentbased_"
SAMPLERS = tuple(prefix + name for prefix in ("", PARENT_BASED) for name in (ALWAYS_ON, ALWAYS_OFF, BY_RATIO))
DEFAULT = PARENT_BASED + ALWAYS_ON
_LOW = 1 << 64
MOST_DRAWN = 64
"""Gaps that are drawn at once: to draw one now and then takes ten times as long."""
_FINE = 53
"""Bits of a random number between 0 and 1."""
_FINEST = 2.0**-_FINE


@define(eq=False)
class Sampler:
    """
    Decides at the beginning of a trace, or as the client has decided.

    A ratio is that of the low 64 bits of trace ids, so that all services that have the same one agree.

    No id is drawn for a trace that is not recorded: how many of them there are until the next one that is, is
    drawn at once (``gap``), as it would come about if each were drawn by itself (a geometric distribution).
    So a request that is not traced costs a count; who counts for himself needs not even ask.

    :param name: one of ``SAMPLERS``.
    :param ratio: of the traces, for the samplers that have one.
    :param bits: a number of so many random bits.
    """

    name: str
    ratio: float
    bits: Callable[[int], int]
    _bound: int = field(init=False)
    _follows_parent: bool = field(init=False)
    _drawn: list[int] = field(factory=list, init=False)
    _until_next: int = field(init=False)
    """Traces that are not recorded before the next one that is, of those that ask ``new_trace_id``."""

    def __attrs_post_init__(self) -> None:
        kind = self.name.removeprefix(PARENT_BASED)
        ratio = {ALWAYS_ON: 1.0, ALWAYS_OFF: 0.0}.get(kind, self.ratio)
        self._bound = round(ratio * _LOW)
        self._follows_parent = self.name.startswith(PARENT_BASED)
        self._until_next = self.gap()

    def gap(self) -> int:
        """Return how many traces in a row are not recorded before the next one that is, at random."""
        drawn = self._drawn
        if not drawn:
            drawn += self._draw()
        return drawn.pop()

    def _draw(self) -> list[int]:
        share = self._bound / _LOW
        if share >= 1:
            return [0] * MOST_DRAWN
        if not share:
            return [maxsize] * MOST_DRAWN
        bits, scale = self.bits, log1p(-share)
        uniform = [(bits(_FINE) + 1) * _FINEST for _ in range(MOST_DRAWN)]
        return [min(maxsize, int(log(each) / scale)) for each in uniform]

    def new_trace_id(self) -> int:
        """Return the id of a new trace, or 0: the request is not traced."""
        left = self._until_next
        if left:
            self._until_next = left - 1
            return 0
        self._until_next = self.gap()
        return self.due_trace_id()

    def due_trace_id(self) -> int:
        """Return the id of a trace that is recorded: a ``gap`` is over."""
        low = self.bits(64) * self._bound >> 64
        return (self.bits(64) << 64 | low) or 1

    def takes(self, parent: RemoteParent) -> bool:
        """Return whether the request of a client that has a trace is traced."""
        if self._follows_parent:
            return parent.is_sampled
        return parent.context.trace_id % _LOW < self._bound
