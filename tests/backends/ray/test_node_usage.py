"""What an agent tells of its worker's GPU, where the driver does not tell it."""

from __future__ import annotations

from types import ModuleType
from unittest import TestCase

from modelserver.backends.ray.node_usage import look_at


class LostGpu(Exception):
    """What the driver's library raises."""


class LookTests(TestCase):
    """A worker starts whether its GPU's load can be told or not."""

    def test_without_the_library(self) -> None:
        self.assertIsNone(look_at(None, {})())

    def test_node_with_a_lost_gpu(self) -> None:
        library = ModuleType("pynvml")

        def fail(index: int) -> None:
            raise LostGpu

        members = {"NVMLError": LostGpu, "nvmlDeviceGetCount": lambda: 2, "nvmlDeviceGetHandleByIndex": fail}
        vars(library).update(members)
        self.assertIsNone(look_at(library, {"CUDA_VISIBLE_DEVICES": "1"})())
