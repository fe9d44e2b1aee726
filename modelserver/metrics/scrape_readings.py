"""What is not counted as it happens, but read at each scrape: models in memory, nodes, GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.gpu_metrics import set_aside
from modelserver.metrics.memory_metrics import Residents
from modelserver.metrics.node_metrics import Nodes


@frozen
class ScrapeReadings:
    """
    Models that come and go, nodes, and GPUs, as they are now.

    :param gpus: why each GPU is set aside; None: it is not.
    """

    residents: Residents = field(factory=Residents)
    nodes: Nodes = field(factory=Nodes)
    gpus: Mapping[int, str | None] = field(factory=dict)

    def exposed(self) -> Iterator[Exposed]:
        """Return every family."""
        yield from self.residents.exposed()
        yield from self.nodes.exposed()
        yield from set_aside(self.gpus)
