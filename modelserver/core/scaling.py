"""How the number of a version's workers is found: it is told, or decided between two bounds."""

from __future__ import annotations

from attrs import field

from modelserver.language.attributes import define
from modelserver.spec import ScaleDecision
from modelserver.version_settings.values import Autoscaling, WorkerRange


@define(eq=False)
class Scaling:
    """
    What holds now for the number of a version's workers; a call of management may change it.

    :param settings: whether, and how, the server decides the number.
    :param bounds: between which it decides.
    :param last: what was decided last, None before.
    """

    settings: Autoscaling
    bounds: WorkerRange
    last: ScaleDecision | None = field(default=None, init=False)
    was_on: bool = field(init=False)
    """Whether the server decides, or once did: then its settings are shown and kept."""

    def __attrs_post_init__(self) -> None:
        self.was_on = self.settings.enabled

    @property
    def is_on(self) -> bool:
        """Whether the server decides."""
        return self.settings.enabled

    def change(self, settings: Autoscaling, bounds: WorkerRange) -> None:
        """Hold other settings and bounds from now on."""
        self.settings, self.bounds = settings, bounds
        self.was_on = self.was_on or settings.enabled

    def clamp(self, workers: int) -> int:
        """Return the number within the bounds that is nearest to ``workers``."""
        return min(max(workers, self.bounds.minimum), self.bounds.maximum)
