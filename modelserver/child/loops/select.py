"""Which loop a worker runs: what its version's mode says (``VersionSpec.mode``)."""

from __future__ import annotations

from modelserver.child.loading.loader import LoadRequest
from modelserver.child.loops.batches import Loop


def loop_class(instructions: LoadRequest) -> type[Loop]:
    """The loop of a mode; those that few handlers want are imported when one does."""
    if instructions.mode == "continuous":
        from modelserver.child.loops.continuous import ContinuousLoop

        return ContinuousLoop
    if instructions.mode == "concurrent":
        from modelserver.child.loops.concurrent import ConcurrentLoop

        return ConcurrentLoop
    return Loop
