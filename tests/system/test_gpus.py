"""GPUs by a library that is none: which there are, and which of them may be seen."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import TestCase

import hypothesis.strategies as st
from attrs import frozen
from hypothesis import given

from modelserver.devices import Gpu, GpuUsage
from modelserver.system.gpus import NvidiaInventory, visible


class NVMLError(Exception):
    """As the library's."""


@frozen
class FakeLibrary:
    """``pynvml`` on a machine with some GPUs, of which one does not tell its load."""

    number: int
    mute: int | None = None
    NVMLError = NVMLError

    def nvmlDeviceGetCount(self) -> int:
        return self.number

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        assert 0 <= index < self.number
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return f"GPU {handle}" if handle % 2 else f"GPU {handle}".encode()

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if handle == self.mute:
            raise NVMLError
        return SimpleNamespace(gpu=10 + handle, memory=20 + handle)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return SimpleNamespace(used=1000 + handle)

    def as_module(self) -> ModuleType:
        """The library under the name of a module."""
        module = ModuleType("pynvml")
        for name in dir(self):
            if name.startswith(("nvml", "NVML")):
                setattr(module, name, getattr(self, name))
        return module


class NvidiaInventoryTests(TestCase):
    """What handlers will see."""

    def test_no_library_is_no_gpu(self) -> None:
        inventory = NvidiaInventory(None, {})
        self.assertEqual([], list(inventory.gpus()))
        self.assertIsNone(inventory.usage(0))

    def test_all_gpus_have_their_names_and_loads(self) -> None:
        inventory = NvidiaInventory(FakeLibrary(2).as_module(), {})
        self.assertEqual([Gpu(0, "GPU 0"), Gpu(1, "GPU 1")], list(inventory.gpus()))
        self.assertEqual(GpuUsage(11.0, 21.0, 1001), inventory.usage(1))

    def test_ids_count_the_visible_ones(self) -> None:
        inventory = NvidiaInventory(FakeLibrary(4).as_module(), {"CUDA_VISIBLE_DEVICES": "3,1"})
        self.assertEqual([Gpu(0, "GPU 3"), Gpu(1, "GPU 1")], list(inventory.gpus()))
        self.assertEqual(1003, getattr(inventory.usage(0), "memory_used", None))
        for gpu_id in (-1, 2):
            self.assertIsNone(inventory.usage(gpu_id))

    def test_gpu_that_does_not_tell_has_no_load(self) -> None:
        inventory = NvidiaInventory(FakeLibrary(2, mute=0).as_module(), {})
        self.assertIsNone(inventory.usage(0))
        self.assertIsNotNone(inventory.usage(1))


class VisibleTests(TestCase):
    """``CUDA_VISIBLE_DEVICES`` as CUDA reads it."""

    def test_table(self) -> None:
        for setting, expected in (
            (None, (0, 1, 2)),
            ("", ()),
            ("0", (0,)),
            ("2, 0", (2, 0)),
            ("-1", ()),
            ("1,-1,2", (1,)),
            ("0,7,1", (0,)),
            ("1,1", (1,)),
            ("GPU-8932f937", ()),
            ("0,,1", (0,)),
            ("\u0662", ()),
            ("\u00b2", ()),
        ):
            self.assertEqual(expected, visible(setting, 3), setting)

    @given(st.none() | st.text("0123-, aG", max_size=12), st.integers(0, 5))
    def test_what_is_visible_exists_and_is_there_once(self, setting: str | None, count: int) -> None:
        found = visible(setting, count)
        self.assertEqual(len(set(found)), len(found))
        self.assertTrue(set(found) <= set(range(count)))
