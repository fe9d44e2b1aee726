"""What is asked at a scrape of those who count for themselves."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from modelserver.metrics.exposition import Exposed
from modelserver.metrics.memory_metrics import Residents
from modelserver.metrics.node_metrics import Nodes


@frozen
class Beside:
    """Models that come and go, and nodes, as they are now."""

    residents: Residents = field(factory=Residents)
    nodes: Nodes = field(factory=Nodes)

    def exposed(self) -> Iterator[Exposed]:
        """Return every family."""
        yield from self.residents.exposed()
        yield from self.nodes.exposed()
