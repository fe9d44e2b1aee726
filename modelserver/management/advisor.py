"""Recommends settings for a version that is served, from what was counted; its workers are asked nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.core.workers.worker import Worker
from modelserver.language.attributes import frozen
from modelserver.management.advice import Advice, Aims, Choice, Observed, SizeSeen, advise
from modelserver.metrics.figures import NOTHING, Figures, VersionFigures

_LEAST_HANDLED = 0.3
"""Seconds in handlers, below which the kernel's count of processor time is too coarse."""
NO_MODEL = "There is advice for versions with plain batches only: no sequences, and none that others join."


@frozen
class VersionAdvice:
    """Advice, and what it is made of."""

    model: str
    version: str
    observed: Observed
    advice: Advice


@frozen(eq=False)
class Advisor:
    """
    Makes advice.

    :param figures: what was counted so far.
    :param processors: those that workers may use.
    """

    registry: Registry
    figures: Callable[[], Figures]
    processors: int

    def advise(self, name: str, version: str | None, wanted: Aims) -> VersionAdvice:
        """
        Recommend settings for a version, the default one unless ``version`` names another.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """
        found = self.registry.get(name, version)
        spec = found.spec
        counted = self.figures().versions.get((spec.name, spec.version), NOTHING)
        observed = self._observed(found, counted)
        if spec.mode != "batches" or spec.sequences.enabled:
            # Their requests join each other, or wait for their turn: the model knows nothing of either.
            advice = Advice("no change", NO_MODEL, observed.current, observed.current)
        else:
            advice = advise(observed, wanted)
        return VersionAdvice(spec.name, spec.version, observed, advice)

    def _observed(self, version: ModelVersion, counted: VersionFigures) -> Observed:
        batching = version.spec.batching
        sizes: Mapping[int, tuple[int, float]] = counted.handled
        return Observed(
            requests=sum(counted.requests),
            seconds=counted.seconds,
            sizes={size: SizeSeen(calls, seconds) for size, (calls, seconds) in sizes.items()},
            squares=counted.squares,
            current=Choice(batching.size, batching.max_delay, version.pool.ready),
            processors=self.processors,
            computing=_computing(version.pool.workers),
        )


def _computing(workers: Sequence[Worker]) -> float:
    """Return the share of their handlers' time in which workers compute, at most 1; 1 where nobody knows."""
    known = [use for worker in workers if (use := worker.processor_use.so_far()) is not None]
    handled = sum(seconds for _, seconds in known)
    if handled < _LEAST_HANDLED:
        return 1.0
    return min(1.0, sum(used for used, _ in known) / handled)
