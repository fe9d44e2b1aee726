"""A server, as twistd starts it, whose driver is a program, instead of Ray's."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from twisted.scripts.twistd import run

from modelserver.backends.ray import cluster

if __name__ == "__main__":
    # The server looks whether Ray is installed; nothing here imports it.
    sys.modules["ray"] = ModuleType("ray")
    sys.modules["ray"].__spec__ = ModuleSpec("ray", None)
    cluster.DRIVER = "bench.program_driver"
    run()  # type: ignore[no-untyped-call]  # twistd has no types
