"""Ids of workers: numbers that are never used again, as the peers number theirs by ports."""

from __future__ import annotations

from attrs import define

from modelserver.spec import VersionSpec


@define(eq=False)
class WorkerNumbers:
    """
    Counts workers from two ends, as TorchServe does.

    :param plain: the next id of a worker that is one process.
    :param parallel: of one that spans devices; it takes as many numbers as its parallel level.
    """

    plain: int = 9000
    parallel: int = 29500

    def take(self, spec: VersionSpec) -> str:
        """The id of one more worker of this version."""
        if spec.devices.parallel_level > 0:
            number = self.parallel
            self.parallel += spec.devices.parallel_level
        else:
            number = self.plain
            self.plain += 1
        return str(number)
