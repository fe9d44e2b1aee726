"""Which GPUs are set aside, for a scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelserver.metrics.declarations import GAUGE, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.series import Gauge

_NAME = "modelserver_gpu_set_aside"
_HELP = "1: the GPU gets no workers (its driver or faults speak against it); 0: it does."


def set_aside(reasons: Mapping[int, str | None]) -> Iterator[Exposed]:
    """
    Return the family that has a value for each GPU.

    :param reasons: why each is set aside; None: it is not.
    """
    gauge = Gauge(Declaration(_NAME, GAUGE, "", ("gpu",)))
    for gpu, reason in reasons.items():
        gauge.update((str(gpu),), int(reason is not None))
    yield Exposed(gauge, _HELP)
