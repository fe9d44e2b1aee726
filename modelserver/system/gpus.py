"""The machine's NVIDIA GPUs and their MIG instances, as the vendor's library lists them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from attrs import field
from twisted.logger import Logger

from modelserver.devices import Gpu, GpuUsage, is_part
from modelserver.language.attributes import define, frozen
from modelserver.system.xids import XidWatch

_log = Logger()


def load_library() -> ModuleType | None:
    """Return the library, initialized; None where the library or the driver is absent."""
    try:
        # It fails at once where the driver is absent, and pynvml takes time to load.
        ctypes.CDLL("libnvidia-ml.so.1")
        import pynvml

        pynvml.nvmlInit()
    except Exception as reason:  # the library has a class for each of many reasons; all mean: no GPU
        _log.debug("No NVIDIA GPU: {reason}", reason=reason)
        return None
    library: ModuleType = pynvml
    return library


@frozen
class Device:
    """
    A GPU of the machine, or a MIG instance of one.

    :param handle: the library's.
    :param index: that of the GPU among all of the machine.
    """

    handle: Any
    index: int
    uuid: str

    @property
    def is_part(self) -> bool:
        """Whether it is a MIG instance."""
        return is_part(self.uuid)

    @property
    def word(self) -> str:
        """What ``CUDA_VISIBLE_DEVICES`` calls it."""
        return self.uuid if self.is_part else str(self.index)


@define(eq=False)
class NvidiaInventory:
    """
    The GPUs that handlers will see: those that ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    A GPU that is divided (MIG) is not among them, but its instances are.

    :param library: ``pynvml``, initialized, or None for no GPU at all.
    :param seconds: on a clock that never goes back.
    """

    library: ModuleType | None
    environment: Mapping[str, str]
    seconds: Callable[[], float] = time.monotonic
    _visible: Sequence[Device] = field(init=False)
    _xids: XidWatch | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        devices = [] if self.library is None else list_devices(self.library)
        self._visible = visible(self.environment.get("CUDA_VISIBLE_DEVICES"), devices)
        if self.library is not None:
            indexes = [device.index for device in self._visible]
            self._xids = XidWatch(self.library, indexes, self.seconds)

    def gpus(self) -> Sequence[Gpu]:
        """Return the visible devices."""
        return [
            Gpu(number, self._name(device), device.uuid, device.word)
            for number, device in enumerate(self._visible)
        ]

    def _name(self, device: Device) -> str:
        return "" if self.library is None else _text(self.library.nvmlDeviceGetName(device.handle))

    def usage(self, gpu_id: int) -> GpuUsage | None:
        """Return a device's load, or None if the driver does not report one."""
        if self.library is None or not 0 <= gpu_id < len(self._visible):
            return None
        return usage_of(self.library, self._visible[gpu_id])

    def illness(self, gpu_id: int) -> str | None:
        """Return why no work should be given to a device, as the driver sees it; None: it is sound."""
        if self.library is None or not 0 <= gpu_id < len(self._visible):
            return None
        # Health is the whole GPU's, whatever its parts.
        index = self._visible[gpu_id].index
        found = illness_of(self.library, self.library.nvmlDeviceGetHandleByIndex(index))
        return found if found is not None or self._xids is None else self._xids.reason(index)


def usage_of(library: ModuleType, device: Device) -> GpuUsage | None:
    """Return a device's load, or None if the driver does not report one."""
    try:
        memory = library.nvmlDeviceGetMemoryInfo(device.handle)
        rates = (0.0, 0.0) if device.is_part else _rates(library, device)  # of a part no driver tells them
        return GpuUsage(*rates, int(memory.used), int(memory.total), _processes(library, device))
    except library.NVMLError:
        return None


def _rates(library: ModuleType, device: Device) -> tuple[float, float]:
    rates = library.nvmlDeviceGetUtilizationRates(device.handle)
    return float(rates.gpu), float(rates.memory)


def _processes(library: ModuleType, device: Device) -> Mapping[int, int]:
    try:
        found = library.nvmlDeviceGetComputeRunningProcesses(device.handle)
    except library.NVMLError:
        return {}
    return {int(each.pid): int(each.usedGpuMemory) for each in found if each.usedGpuMemory is not None}


RECOVERIES = {
    1: "the GPU has to be reset",
    2: "the node has to be started anew",
    4: "the GPU has to be drained and reset",
    6: "the bus has to be reset",
    7: "the system has to be started anew",
}
"""The driver's actions (``NVML_GPU_RECOVERY_ACTION_...``) for GPUs that are of no use until then."""
LOST = ("NVMLError_GpuIsLost", "NVMLError_ResetRequired")


def illness_of(library: ModuleType, handle: Any) -> str | None:
    """
    Return what the driver has against a GPU, or None.

    It is lost, or needs a recovery (drivers from R570 on conclude that from their XIDs), or has memory rows
    that could not be remapped, or is at the temperature at which it shuts down.
    """
    for look in (_recovery, _broken_rows, _too_hot):
        try:
            found = look(library, handle)
        except library.NVMLError as error:
            if type(error).__name__ not in LOST:
                continue  # this GPU, or its driver, cannot tell
            found = f"the driver says: {error}"
        if found is not None:
            return found
    return None


def _recovery(library: ModuleType, handle: Any) -> str | None:
    number = getattr(library, "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION", None)
    if number is None:
        return None
    (value,) = library.nvmlDeviceGetFieldValues(handle, [number])
    action = 0 if value.nvmlReturn else int(value.value.uiVal)
    return f"the driver says: {RECOVERIES[action]}" if action in RECOVERIES else None


def _broken_rows(library: ModuleType, handle: Any) -> str | None:
    *_, has_failed = library.nvmlDeviceGetRemappedRows(handle)
    return "rows of its memory are broken and could not be remapped" if has_failed else None


def _too_hot(library: ModuleType, handle: Any) -> str | None:
    degrees = library.nvmlDeviceGetTemperature(handle, library.NVML_TEMPERATURE_GPU)
    most = library.nvmlDeviceGetTemperatureThreshold(handle, library.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN)
    return f"it has {degrees} degrees, and shuts down at {most}" if 0 < most <= degrees else None


def list_devices(library: ModuleType) -> list[Device]:
    """Return the GPUs of the machine in the driver's order; of a divided one, its parts."""
    found: list[Device] = []
    for index in range(int(library.nvmlDeviceGetCount())):
        handle = library.nvmlDeviceGetHandleByIndex(index)
        parts = _parts(library, handle)
        if parts is None:
            found.append(Device(handle, index, _uuid(library, handle)))
        else:
            found += [Device(part, index, _uuid(library, part)) for part in parts]
    return found


def _parts(library: ModuleType, handle: Any) -> list[Any] | None:
    """The handles of a GPU's MIG instances; None where it is not divided."""
    try:
        mode, _ = library.nvmlDeviceGetMigMode(handle)
        if not mode:
            return None
        most = library.nvmlDeviceGetMaxMigDeviceCount(handle)
    except library.NVMLError:
        return None  # most GPUs cannot be divided
    found = []
    for place in range(int(most)):
        try:
            found.append(library.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
        except library.NVMLError:
            continue  # no instance has this place
    return found


def _uuid(library: ModuleType, handle: Any) -> str:
    try:
        return _text(library.nvmlDeviceGetUUID(handle))
    except library.NVMLError:
        return ""


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def visible(setting: str | None, devices: Sequence[Device]) -> list[Device]:
    """
    Return the devices that ``CUDA_VISIBLE_DEVICES`` leaves, in its order.

    As CUDA reads it: an entry is a number or the beginning of a UUID that no other has; the list ends at the
    first entry that names no device, or one for the second time; unset means all. The number of a divided GPU
    means all of its parts.
    """
    if setting is None:
        return list(devices)
    found: list[Device] = []
    for entry in setting.split(","):
        named = _named(entry.strip(), devices)
        if not named or any(device in found for device in named):
            break
        found += named
    return found


def _named(entry: str, devices: Sequence[Device]) -> list[Device]:
    if entry.isascii() and entry.isdigit():
        return [device for device in devices if device.index == int(entry)]
    if not entry.startswith(("GPU-", "MIG-")):
        return []
    found = [device for device in devices if device.uuid.startswith(entry)]
    return found if len(found) == 1 else []
