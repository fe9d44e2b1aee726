"""What is counted of models that come and go: the memory set aside, who had to leave, loads on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.metrics.declarations import COUNTER, GAUGE, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.series import Counter, Gauge

_VERSION = ("model", "version")
_HELP = {
    "modelserver_memory_reserved_bytes": "Bytes that are set aside for workers, of model_memory_limit.",
    "modelserver_memory_limit_bytes": "Bytes that all workers together may take (model_memory_limit).",
    "modelserver_model_evictions_total": "Times that a version had to leave, since memory was short.",
    "modelserver_model_loads_total": "Loads by a request, by what became of them: loaded, failed, no_memory.",
}


@frozen
class Residents:
    """
    Models that come and go, as they are now.

    :param limit: bytes of all workers together, None where there is no limit.
    :param reserved: bytes that are set aside.
    :param evictions: by the name and number of a version.
    :param loads: by the name and number of a version, and by what became of them.
    """

    limit: int | None = None
    reserved: int = 0
    evictions: Mapping[tuple[str, str], int] = field(factory=dict)
    loads: Mapping[tuple[str, str, str], int] = field(factory=dict)

    def exposed(self) -> Iterator[Exposed]:
        """Return every family; those of the memory only where there is a limit."""
        reserved = Gauge(Declaration("modelserver_memory_reserved_bytes", GAUGE, "", ()))
        limit = Gauge(Declaration("modelserver_memory_limit_bytes", GAUGE, "", ()))
        if self.limit is not None:
            reserved.update((), self.reserved)
            limit.update((), self.limit)
        evictions = Counter(Declaration("modelserver_model_evictions_total", COUNTER, "", _VERSION))
        for version, count in self.evictions.items():
            evictions.update(version, count)
        loads = Counter(Declaration("modelserver_model_loads_total", COUNTER, "", (*_VERSION, "outcome")))
        for load, count in self.loads.items():
            loads.update(load, count)
        for family in (reserved, limit, evictions, loads):
            yield Exposed(family, _HELP[family.declaration.name])
