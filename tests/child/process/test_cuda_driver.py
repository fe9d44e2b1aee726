"""What the CUDA driver says of this process, from a library that is made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.process.cuda_driver import driver_hazard, loaded_driver

NOT_INITIALIZED = 3


class FakeDriver:
    """
    ``libcuda`` of a process with so many devices.

    :param count: None: nobody has called ``cuInit``.
    :param active: devices whose primary context is in use.
    :param ill: devices of which it cannot tell.
    """

    def __init__(self, count: int | None, active: Sequence[int] = (), ill: Sequence[int] = ()) -> None:
        self._count, self._active, self._ill = count, active, ill

    def cuDeviceGetCount(self, count: Any) -> int:
        """Writes the number to where ``count`` points."""
        if self._count is None:
            return NOT_INITIALIZED
        count._obj.value = self._count
        return 0

    def cuDevicePrimaryCtxGetState(self, device: int, flags: Any, active: Any) -> int:
        """Writes whether the context is in use to where ``active`` points."""
        if device in self._ill:
            return 101
        active._obj.value = int(device in self._active)
        return 0


class DriverTests(SynchronousTestCase):
    """The reasons."""

    def test_library_that_is_loaded_alone_is_no_hazard(self) -> None:
        self.assertIsNone(driver_hazard(lambda: FakeDriver(None)))
        self.assertIsNone(driver_hazard(lambda: None))

    def test_initialized_driver_does_not_survive_a_fork(self) -> None:
        self.assertEqual(driver_hazard(lambda: FakeDriver(2)), "CUDA's driver is initialized")
        self.assertEqual(driver_hazard(lambda: FakeDriver(1, ill=[0])), "CUDA's driver is initialized")

    def test_contexts_are_named_by_their_devices(self) -> None:
        self.assertEqual(
            driver_hazard(lambda: FakeDriver(4, active=[1, 3])), "CUDA has contexts on devices (1, 3)"
        )

    def test_question_loads_nothing(self) -> None:
        with open("/proc/self/maps") as maps:
            is_loaded = "libcuda.so" in maps.read()
        self.assertEqual(loaded_driver() is not None, is_loaded)
