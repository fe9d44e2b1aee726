"""An agent whose connection may lose segments."""

from __future__ import annotations

from modelserver.backends.ray.node import main
from tests.cluster.segment_loss import lose_by_environment

if __name__ == "__main__":
    lose_by_environment()
    main()
