"""GPUs by a library that is none: which there are, and which of them may be seen."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import TestCase

import hypothesis.strategies as st
from attrs import field, frozen
from hypothesis import given

from modelserver.devices import Gpu, GpuUsage
from modelserver.system.gpus import NvidiaInventory, list_devices, visible
from modelserver.system.xids import KEPT


class NVMLError(Exception):
    """As the library's."""


class NVMLError_GpuIsLost(NVMLError):
    """As the library's."""


@frozen
class FakeLibrary:
    """
    ``pynvml`` on a machine with some GPUs.

    :param mute: the one that does not tell its load.
    :param divided: those that are divided, each in two; their parts' handles are text.
    :param actions: what the driver recommends, by GPU.
    :param degrees: of all of them.
    :param errors: that nobody has read yet: a GPU, and an XID.
    :param mute_events: those that tell no errors.
    """

    number: int
    mute: int | None = None
    divided: tuple[int, ...] = ()
    actions: Mapping[int, int] = field(factory=dict)
    lost: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()
    degrees: int = 40
    errors: list[tuple[int, int]] = field(factory=list)
    mute_events: tuple[int, ...] = ()
    NVMLError = NVMLError
    nvmlEventTypeXidCriticalError = 8
    NVML_FI_DEV_GET_GPU_RECOVERY_ACTION = 230
    NVML_TEMPERATURE_GPU = 0
    NVML_TEMPERATURE_THRESHOLD_SHUTDOWN = 0

    def nvmlDeviceGetCount(self) -> int:
        return self.number

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        assert 0 <= index < self.number
        return index

    def nvmlDeviceGetName(self, handle: int) -> str | bytes:
        return f"GPU {handle}" if isinstance(handle, str) or handle % 2 else f"GPU {handle}".encode()

    def nvmlDeviceGetUUID(self, handle: int | str) -> str:
        return f"MIG-{handle}" if isinstance(handle, str) else f"GPU-{handle}0"

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        if handle == self.mute:
            raise NVMLError
        return [int(handle in self.divided), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: int) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, place: int) -> str:
        if place not in (1, 4):
            raise NVMLError
        return f"{handle}-{place}"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        if handle == self.mute or isinstance(handle, str):
            raise NVMLError
        return SimpleNamespace(gpu=10 + handle, memory=20 + handle)

    def nvmlDeviceGetMemoryInfo(self, handle: int | str) -> Any:
        used = 5 if isinstance(handle, str) else 1000 + handle
        return SimpleNamespace(used=used, total=8000)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int | str) -> Any:
        if handle == 0:
            raise NVMLError
        told = SimpleNamespace(pid=7, usedGpuMemory=300)
        return [told, SimpleNamespace(pid=8, usedGpuMemory=None)]

    def nvmlDeviceGetFieldValues(self, handle: int, fields: list[int]) -> Any:
        assert fields == [230]
        if handle in self.lost:
            raise NVMLError_GpuIsLost("GPU is lost")
        unknown = handle not in self.actions
        value = SimpleNamespace(uiVal=self.actions.get(handle, 77))
        return [SimpleNamespace(nvmlReturn=3 if unknown else 0, value=value)]

    def nvmlDeviceGetRemappedRows(self, handle: int) -> tuple[int, int, int, int]:
        if handle == 0:
            raise NVMLError  # such rows are not of every GPU
        return 0, 0, 0, int(handle in self.broken)

    def nvmlDeviceGetTemperature(self, handle: int, sensor: int) -> int:
        return self.degrees

    def nvmlDeviceGetTemperatureThreshold(self, handle: int, which: int) -> int:
        return 95

    def nvmlEventSetCreate(self) -> set[int]:
        return set()

    def nvmlDeviceRegisterEvents(self, handle: int, kinds: int, events: set[int]) -> None:
        assert kinds == self.nvmlEventTypeXidCriticalError
        if handle in self.mute_events:
            raise NVMLError
        events.add(handle)

    def nvmlEventSetWait_v2(self, events: set[int], milliseconds: int) -> Any:
        assert milliseconds == 0
        for place, (gpu, xid) in enumerate(self.errors):
            if gpu in events:
                del self.errors[place]
                return SimpleNamespace(device=gpu, eventType=8, eventData=xid)
        raise NVMLError("Timeout")

    def nvmlDeviceGetIndex(self, handle: int) -> int:
        return handle

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
        expected = [Gpu(0, "GPU 0", "GPU-00", "0"), Gpu(1, "GPU 1", "GPU-10", "1")]
        self.assertEqual(expected, list(inventory.gpus()))
        self.assertEqual(GpuUsage(11.0, 21.0, 1001, 8000, {7: 300}), inventory.usage(1))
        self.assertEqual(GpuUsage(10.0, 20.0, 1000, 8000), inventory.usage(0))

    def test_ids_count_the_visible_ones(self) -> None:
        inventory = NvidiaInventory(FakeLibrary(4).as_module(), {"CUDA_VISIBLE_DEVICES": "3,1"})
        expected = [Gpu(0, "GPU 3", "GPU-30", "3"), Gpu(1, "GPU 1", "GPU-10", "1")]
        self.assertEqual(expected, list(inventory.gpus()))
        self.assertEqual(1003, getattr(inventory.usage(0), "memory_used", None))
        for gpu_id in (-1, 2):
            self.assertIsNone(inventory.usage(gpu_id))

    def test_gpu_that_does_not_tell_has_no_load(self) -> None:
        inventory = NvidiaInventory(FakeLibrary(2, mute=0).as_module(), {})
        self.assertIsNone(inventory.usage(0))
        self.assertIsNotNone(inventory.usage(1))


class PartTests(TestCase):
    """GPUs that are divided (MIG)."""

    def setUp(self) -> None:
        self.library = FakeLibrary(3, divided=(1,)).as_module()

    def words(self, setting: str | None) -> list[str]:
        """What the visible devices are called."""
        environment = {} if setting is None else {"CUDA_VISIBLE_DEVICES": setting}
        return [gpu.word for gpu in NvidiaInventory(self.library, environment).gpus()]

    def test_their_parts_stand_for_them(self) -> None:
        for setting, expected in (
            (None, ["0", "MIG-1-1", "MIG-1-4", "2"]),
            ("1", ["MIG-1-1", "MIG-1-4"]),
            ("MIG-1-4,0", ["MIG-1-4", "0"]),
            ("1,MIG-1-4,0", ["MIG-1-1", "MIG-1-4"]),
            ("MIG-1,0", []),  # two begin so
        ):
            self.assertEqual(self.words(setting), expected, setting)

    def test_a_part_tells_its_memory_and_no_rates(self) -> None:
        inventory = NvidiaInventory(self.library, {"CUDA_VISIBLE_DEVICES": "MIG-1-4"})
        self.assertEqual(inventory.usage(0), GpuUsage(0.0, 0.0, 5, 8000, {7: 300}))
        self.assertTrue(inventory.gpus()[0].is_part)


class IllnessTests(TestCase):
    """What the driver says of a GPU's health."""

    def illness(self, gpu: int, **library: Any) -> str | None:
        """The illness of one of three."""
        return NvidiaInventory(FakeLibrary(3, **library).as_module(), {}).illness(gpu)

    def test_table(self) -> None:
        self.assertIsNone(self.illness(0))
        self.assertIsNone(self.illness(1, actions={1: 0}))
        self.assertIsNone(self.illness(1, actions={1: 3}))  # only others may not talk to it
        self.assertEqual(self.illness(1, actions={1: 1}), "the driver says: the GPU has to be reset")
        self.assertEqual(self.illness(2, lost=(2,)), "the driver says: GPU is lost")
        self.assertEqual(
            self.illness(2, broken=(2,)), "rows of its memory are broken and could not be remapped"
        )
        self.assertEqual(self.illness(0, degrees=96), "it has 96 degrees, and shuts down at 95")
        self.assertIsNone(self.illness(7, degrees=96))

    def test_errors_that_the_driver_tells_count_for_a_while(self) -> None:
        library = FakeLibrary(3, divided=(1,), mute_events=(2,))
        time = [100.0]
        visible_ones = {"CUDA_VISIBLE_DEVICES": "2,MIG-1-4"}
        found = NvidiaInventory(library.as_module(), visible_ones, lambda: time[0])
        self.assertEqual([found.illness(gpu) for gpu in (0, 1)], [None, None])
        library.errors.extend([(1, 31), (1, 48), (1, 13), (0, 79), (2, 79)])
        self.assertEqual([found.illness(gpu) for gpu in (0, 1)], [None, "the driver told error 48 (XID)"])
        self.assertEqual(library.errors, [(0, 79), (2, 79)])  # another's, and one that tells none
        time[0] += KEPT - 1
        self.assertEqual(found.illness(1), "the driver told error 48 (XID)")
        time[0] += 1
        self.assertIsNone(found.illness(1))

    def test_a_part_is_as_ill_as_the_whole(self) -> None:
        library = FakeLibrary(3, divided=(1,), actions={1: 4}).as_module()
        found = NvidiaInventory(library, {"CUDA_VISIBLE_DEVICES": "0,MIG-1-4"})
        self.assertEqual(
            [found.illness(gpu) for gpu in (0, 1)],
            [None, "the driver says: the GPU has to be drained and reset"],
        )


class VisibleTests(TestCase):
    """``CUDA_VISIBLE_DEVICES`` as CUDA reads it."""

    def indexes(self, setting: str | None, count: int) -> tuple[int, ...]:
        """Which of so many GPUs are visible."""
        devices = list_devices(FakeLibrary(count).as_module())
        return tuple(device.index for device in visible(setting, devices))

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
            ("GPU-20,GPU-0", (2, 0)),
            ("GPU-", ()),
            ("20", ()),
            ("0,,1", (0,)),
            ("\u0662", ()),
            ("\u00b2", ()),
        ):
            self.assertEqual(expected, self.indexes(setting, 3), setting)

    @given(st.none() | st.text("0123-, aG", max_size=12), st.integers(0, 5))
    def test_what_is_visible_exists_and_is_there_once(self, setting: str | None, count: int) -> None:
        found = self.indexes(setting, count)
        self.assertEqual(len(set(found)), len(found))
        self.assertTrue(set(found) <= set(range(count)))
