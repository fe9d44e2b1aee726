"""What is counted of models that come and go: the memory set aside, who had to leave, loads on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field

from modelserver.devices import HOST, Bank
from modelserver.language.attributes import frozen
from modelserver.metrics.declarations import COUNTER, GAUGE, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.series import Counter, Gauge

_VERSION = ("model", "version")
_GPU = ("gpu",)
_HELP = {
    "modelserver_memory_reserved_bytes": "Bytes that are set aside for workers, of model_memory_limit.",
    "modelserver_memory_limit_bytes": "Bytes that all workers together may take (model_memory_limit).",
    "modelserver_gpu_memory_reserved_bytes": "Bytes of a GPU set aside for workers, of gpu_memory_limit.",
    "modelserver_gpu_memory_limit_bytes": "Bytes of a GPU that all workers may take (gpu_memory_limit).",
    "modelserver_model_evictions_total": "Times that a version had to leave, since memory was short.",
    "modelserver_model_loads_total": "Loads by a request, by what became of them: loaded, failed, no_memory.",
}


@frozen
class Residents:
    """
    Models that come and go, as they are now.

    :param limits: bytes of all workers together, of each memory that has a limit.
    :param reserved: bytes of each of these that are set aside.
    :param evictions: by the name and number of a version.
    :param loads: by the name and number of a version, and by what became of them.
    """

    limits: Mapping[Bank, int] = field(factory=dict)
    reserved: Mapping[Bank, int] = field(factory=dict)
    evictions: Mapping[tuple[str, str], int] = field(factory=dict)
    loads: Mapping[tuple[str, str, str], int] = field(factory=dict)

    def exposed(self) -> Iterator[Exposed]:
        """Return every family; those of memory have numbers only where there is a limit."""
        reserved = Gauge(Declaration("modelserver_memory_reserved_bytes", GAUGE, "", ()))
        limit = Gauge(Declaration("modelserver_memory_limit_bytes", GAUGE, "", ()))
        on_gpu = Gauge(Declaration("modelserver_gpu_memory_reserved_bytes", GAUGE, "", _GPU))
        gpu_limit = Gauge(Declaration("modelserver_gpu_memory_limit_bytes", GAUGE, "", _GPU))
        for bank, size in self.limits.items():
            labels = () if bank is HOST else (str(bank),)
            (limit if bank is HOST else gpu_limit).update(labels, size)
            (reserved if bank is HOST else on_gpu).update(labels, self.reserved.get(bank, 0))
        evictions = Counter(Declaration("modelserver_model_evictions_total", COUNTER, "", _VERSION))
        for version, count in self.evictions.items():
            evictions.update(version, count)
        loads = Counter(Declaration("modelserver_model_loads_total", COUNTER, "", (*_VERSION, "outcome")))
        for load, count in self.loads.items():
            loads.update(load, count)
        for family in (reserved, limit, on_gpu, gpu_limit, evictions, loads):
            yield Exposed(family, _HELP[family.declaration.name])
