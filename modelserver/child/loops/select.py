"""Which loop a worker runs: what its version's mode says (``VersionSpec.mode``)."""

from __future__ import annotations

from modelserver.child.loops.batches import Loop
from modelserver.protocol.load_request import LoadRequest


def loop_class(request: LoadRequest) -> type[Loop]:
    """The loop of a mode; those that few handlers want are imported when one does."""
    if request.mode == "continuous":
        from modelserver.child.loops.continuous import ContinuousLoop

        return ContinuousLoop
    if request.mode == "concurrent":
        from modelserver.child.loops.concurrent import ConcurrentLoop

        return ConcurrentLoop
    return Loop
