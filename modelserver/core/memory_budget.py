"""What bounds the memory of workers, as the core knows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from modelserver.devices import Bank
from modelserver.spec import MemoryFigures, VersionSpec, WorkerSpec


class MemoryBudget(Protocol):
    """
    Bounds the memory that the workers of all versions take together: this machine's, and that of its GPUs.

    What a worker is expected to take is reserved from ``placed`` until ``left``.
    """

    def reserve(self, version: VersionSpec, workers: int) -> int:
        """
        Return for how many of ``workers`` more of a version there is room now: start them in this turn.

        Idle versions are asked to leave for the others; ask again, or use ``claim``, which tells.
        """

    def claim(
        self, version: VersionSpec, workers: int, waits: bool = False, on_gpus: int | None = None
    ) -> Deferred[None]:
        """
        Fire when there is room for so many more workers of a version: start them before anything is awaited.

        Whoever asked first gets room first. Cancelling is allowed.

        :param waits: where nothing can leave, wait for what can; else fail with MemoryShort.
        :param on_gpus: how many of them get a GPU at most; None: as the version's settings say.
        """

    def free_on_gpus(self) -> Mapping[int, int]:
        """Return the bytes that are free on each GPU whose memory is bounded: it goes by the most."""

    def placed(self, worker: WorkerSpec) -> None:
        """Set memory aside for a worker that is being started, on the GPUs that it was given, too."""

    def moved(self, before: WorkerSpec, after: WorkerSpec) -> None:
        """Set a worker's memory aside on other GPUs than before."""

    def loaded(self, worker: WorkerSpec) -> None:
        """Note that a worker has loaded its model: now it can be measured."""

    def left(self, worker: WorkerSpec) -> None:
        """Set nothing aside any more for a worker that is gone for good."""

    def figures(self, version: VersionSpec) -> Mapping[Bank, MemoryFigures]:
        """Return what a version's next worker takes, and what there is, of each memory that is bounded."""

    def obstacle(self, version: VersionSpec) -> str:
        """Return which GPUs' memory has no room for one more worker, with numbers; empty: it is not that."""
