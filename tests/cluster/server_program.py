"""A server, as twistd starts it, whose driver is not Ray's but a program of the tests."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from twisted.scripts.twistd import run

from modelserver.backends.ray import cluster
from tests.cluster.segment_loss import lose_by_environment

if __name__ == "__main__":
    # The server looks whether Ray is installed; nothing here imports it.
    sys.modules["ray"] = ModuleType("ray")
    sys.modules["ray"].__spec__ = ModuleSpec("ray", None)
    cluster.DRIVER = "tests.cluster.program_driver"
    lose_by_environment()
    run()
