"""Which loop a worker runs: what its version's mode says (``VersionSpec.mode``)."""

from __future__ import annotations

from modelserver.child.loader import Instructions
from modelserver.child.loop import Loop


def loop_of(instructions: Instructions) -> type[Loop]:
    """The loop of a mode; those that few handlers want are imported when one does."""
    if instructions.mode == "continuous":
        from modelserver.child.continuous import ContinuousLoop

        return ContinuousLoop
    if instructions.mode == "concurrent":
        from modelserver.child.concurrent import ConcurrentLoop

        return ConcurrentLoop
    return Loop
