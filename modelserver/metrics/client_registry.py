"""The same metrics as a registry of ``prometheus_client``, for other ways to export them than a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from modelserver.language.attributes import frozen
from modelserver.metrics.exposition import Exposed


@frozen
class FamilyCollector(Collector):
    """Gives a registry of ``prometheus_client`` the families that ``exposed`` finds at a scrape."""

    exposed: Callable[[], Iterable[Exposed]]

    def collect(self) -> Iterable[Metric]:
        """Return the families as they are now."""
        return [metric_of(each) for each in self.exposed()]

    def describe(self) -> Iterable[Metric]:
        """Return nothing: which metrics there are is known only at a scrape."""
        return []


def new_registry(exposed: Callable[[], Iterable[Exposed]]) -> CollectorRegistry:
    """Return a registry with these families and nothing else, for other ways to export them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FamilyCollector(exposed))
    return registry


def metric_of(exposed: Exposed) -> Metric:
    """Return a family as ``prometheus_client`` has it; a counter's samples have its bare name."""
    declaration = exposed.family.declaration
    metric = Metric(declaration.name, exposed.help, declaration.kind)
    for suffix, labels, bound, value in exposed.family.samples():
        named = dict(zip(declaration.dimensions, exposed.all_labels(labels), strict=True))
        if bound:
            named["le"] = bound
        metric.add_sample(declaration.name + suffix, named, value)
    return metric
