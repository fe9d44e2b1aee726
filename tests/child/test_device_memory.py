"""What a worker tells of its device's memory, and when."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context
from modelserver.child.device_memory import INTERVAL, DeviceMemory, Holdings, torch_holdings
from modelserver.devices import GpuMemory
from modelserver.protocol import frames
from modelserver.protocol.device_memory import read_device_memory
from modelserver.protocol.frame_stream import FrameReader


class FakeCuda:
    """torch.cuda of a process that has used the second of two devices, or none yet."""

    def __init__(self, is_initialized: bool = True) -> None:
        self._is_initialized = is_initialized

    def is_initialized(self) -> bool:
        """Whether there is a context."""
        return self._is_initialized

    def device_count(self) -> int:
        """Two; whoever asks before there is a context would make one in some versions."""
        assert self._is_initialized
        return 2

    def memory_allocated(self, device: int) -> int:
        """Nothing on the first."""
        return 100 * device

    def memory_reserved(self, device: int) -> int:
        """Nothing on the first."""
        return 200 * device

    def max_memory_allocated(self, device: int) -> int:
        """Nothing on the first."""
        return 150 * device


class TorchTests(SynchronousTestCase):
    """What torch is asked."""

    def test_all_devices_together(self) -> None:
        self.assertEqual(torch_holdings({"torch": SimpleNamespace(cuda=FakeCuda())}), (100, 200, 150))

    def test_cuda_is_not_asked_before_it_is_in_use(self) -> None:
        self.assertIsNone(torch_holdings({"torch": SimpleNamespace(cuda=FakeCuda(False))}))
        self.assertIsNone(torch_holdings({}))


class NewsTests(SynchronousTestCase):
    """Frames of what has changed."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.held: Holdings | None = None
        self.memory = DeviceMemory(lambda: self.held, self.clock.seconds)

    def news(self) -> GpuMemory | None:
        frame = self.memory.news()
        return None if frame is None else read_device_memory(frame_of(frame))

    def test_changes_are_told_from_time_to_time(self) -> None:
        self.assertIsNone(self.news())
        self.held = (1, 2, 3)
        self.assertIsNone(self.news(), "a look was made in this moment")
        self.clock.advance(INTERVAL)
        self.assertEqual(self.news(), GpuMemory(1, 2, 3))
        self.clock.advance(INTERVAL)
        self.assertIsNone(self.news(), "nothing has changed")
        self.held = (4, 8, 5)
        self.clock.advance(INTERVAL)
        self.assertEqual(self.news(), GpuMemory(4, 8, 5))

    def test_device_that_refuses_is_the_handlers_to_meet(self) -> None:
        def refuse() -> Holdings | None:
            raise RuntimeError("CUDA error: unspecified launch failure")

        self.assertIsNone(DeviceMemory(refuse, self.clock.seconds).news())

    def test_torch_that_a_thread_is_still_importing(self) -> None:
        halves = {"torch": ModuleType("torch")}
        self.assertIsNone(DeviceMemory(lambda: torch_holdings(halves), self.clock.seconds).news())

    def test_only_a_worker_with_a_gpu_looks(self) -> None:
        self.assertIsNone(DeviceMemory.of(Context("m", "/nowhere", None, 1, None, "1")))
        self.assertIsNotNone(DeviceMemory.of(Context("m", "/nowhere", None, 1, 0, "1")))


class ReadTests(SynchronousTestCase):
    """What the server makes of a frame, whoever wrote it."""

    def test_nonsense_is_refused(self) -> None:
        good: dict[str, Any] = {"allocated": 1, "reserved": 2, "peak": 3}
        for bad in ({"peak": -1}, {"peak": None}, {"reserved": "2"}, {"allocated": True}, {"peak": 0.5}):
            with self.subTest(bad=bad):
                frame = frame_of(frames.pack_json(frames.DEVICE_MEMORY, {**good, **bad}))
                self.assertRaises(frames.FrameError, read_device_memory, frame)


def frame_of(packed: bytes) -> frames.Frame:
    """The frame that these bytes are."""

    class Bytes:
        def recv_into(self, buffer: memoryview, /) -> int:
            buffer[: len(packed)] = packed
            return len(packed)

    reader = FrameReader()
    reader.fill(Bytes())
    frame = reader.next()
    assert frame is not None
    return frame
