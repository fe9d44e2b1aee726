"""Which requests are traced: the samplers that OpenTelemetry's variables name."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen

from modelserver.tracing.propagation import RemoteParent

ALWAYS_ON, ALWAYS_OFF, BY_RATIO = "always_on", "always_off", "traceidratio"
PARENT_BASED = "parentbased_"
SAMPLERS = tuple(prefix + name for prefix in ("", PARENT_BASED) for name in (ALWAYS_ON, ALWAYS_OFF, BY_RATIO))
DEFAULT = PARENT_BASED + ALWAYS_ON
_LOW = 1 << 64


@frozen(eq=False)
class Sampler:
    """
    Decides at the beginning of a trace, or as the client has decided.

    A ratio is that of the low 64 bits of trace ids, so that all services that have the same one agree.

    :param name: one of ``SAMPLERS``.
    :param ratio: of the traces, for the samplers that have one.
    :param bits: a number of so many random bits.
    """

    name: str
    ratio: float
    bits: Callable[[int], int]
    _bound: int = field(init=False)
    _follows_parent: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        kind = self.name.removeprefix(PARENT_BASED)
        ratio = {ALWAYS_ON: 1.0, ALWAYS_OFF: 0.0}.get(kind, self.ratio)
        object.__setattr__(self, "_bound", round(ratio * _LOW))
        object.__setattr__(self, "_follows_parent", self.name.startswith(PARENT_BASED))

    def new_trace_id(self) -> int:
        """Return the id of a new trace, or 0: the request is not traced."""
        low = self.bits(64)
        if low >= self._bound:
            return 0
        return (self.bits(64) << 64 | low) or 1

    def takes(self, parent: RemoteParent) -> bool:
        """Return whether the request of a client that has a trace is traced."""
        if self._follows_parent:
            return parent.is_sampled
        return parent.context.trace_id % _LOW < self._bound
