"""Errors of a GPU after which the process that met them can use it no more, told from all others."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator

from modelserver.child.tracebacks import last_lines, text_of
from modelserver.language.attributes import frozen
from modelserver.protocol.plain_text import without_escapes

STICKY = {
    214: "uncorrectable ECC error",
    220: "uncorrectable NVLink error",
    700: "illegal memory access",
    702: "launch timed out",
    709: "context is destroyed",
    710: "device-side assert",
    714: "hardware stack error",
    715: "illegal instruction",
    716: "misaligned address",
    717: "invalid address space",
    718: "invalid program counter",
    719: "unspecified launch failure",
    999: "unknown error",
}
"""CUDA's errors that every later call of the process meets again, by their numbers (``cudaError_t``)."""
OUT_OF_MEMORY = 2
"""CUDA's number of want of memory."""
_ACCELERATOR, _MEMORY = "AcceleratorError", "OutOfMemoryError"
_WORDS_OF_OLD = "CUDA error:"
"""How torch before 2.8 begins the text of what CUDA has caused: it had neither a class nor a number."""
MOST_CAUSES = 16
FULL = "no memory, though the cache was given back"
SMALL = 1 << 20
"""Bytes that a device which is not full has for one tensor."""


@frozen
class DeviceFault:
    """
    What has happened to the device.

    :param code: CUDA's number, or None where torch does not tell.
    :param name: of it, in words.
    :param error: the exception that said so.
    """

    code: int | None
    name: str
    error: BaseException

    def report(self) -> dict[str, object]:
        """Return what the server is told, as JSON."""
        number = "" if self.code is None else f" {self.code}"
        told = f"CUDA error{number} ({self.name}): {without_escapes(text_of(self.error))}"
        return {
            "exception": type(self.error).__name__,
            "text": told.splitlines()[0],
            "traceback": last_lines(self.error),
            "device_code": self.code,
        }


class DeviceFailed(BaseException):
    """
    The worker's device is of no use to its process any more: the process has to end.

    No ``Exception``, so that no handler of exceptions serves on with it.
    """

    def __init__(self, fault: DeviceFault) -> None:
        super().__init__(fault.name)
        self.fault = fault


@frozen
class DeviceWatch:
    """
    Judges what handlers raise, and asks the device where the exception alone does not tell.

    :param is_poisoned: whether the device refuses all work of this process.
    :param is_full: whether the device has no memory for this process, even with its own cache given back.
    """

    is_poisoned: Callable[[], bool]
    is_full: Callable[[], bool]

    def check(self, error: BaseException) -> None:
        """
        Return if the process may go on after an exception of the handler.

        :raises DeviceFailed: it may not.
        """
        fault = self._fault_of(error)
        if fault is not None:
            raise DeviceFailed(fault) from error

    def _fault_of(self, error: BaseException) -> DeviceFault | None:
        for each in _causes(error):
            kind, code = _kind_of(each), getattr(each, "error_code", None)
            if kind == _MEMORY or (kind == _ACCELERATOR and code == OUT_OF_MEMORY):
                # What the handler was about to compute is still held by the frames that the exception keeps.
                traceback.clear_frames(error.__traceback__)
                return DeviceFault(OUT_OF_MEMORY, FULL, each) if self.is_full() else None
            if kind == _ACCELERATOR and isinstance(code, int):
                return DeviceFault(code, STICKY[code], each) if code in STICKY else None
            if (kind == _ACCELERATOR or _is_of_old(each)) and self.is_poisoned():
                return DeviceFault(None, "it refuses all work", each)
        return None


def watch_of_torch() -> DeviceWatch:
    """Return a watch that asks the torch of this process, if the handler has loaded one."""
    return DeviceWatch(_torch_is_poisoned, _torch_is_full)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, and those that it was raised from or beside."""
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen and len(seen) < MOST_CAUSES:
        seen.append(each)
        yield each
        each = each.__cause__ or each.__context__


def _kind_of(error: BaseException) -> str:
    """The name of torch's class that an exception is of, or nothing."""
    for base in type(error).__mro__:
        if base.__module__.partition(".")[0] == "torch" and base.__name__ in (_ACCELERATOR, _MEMORY):
            return base.__name__
    return ""


def _torch_is_poisoned() -> bool:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _torch_is_full() -> bool:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.empty_cache()
        torch.empty(SMALL, dtype=torch.uint8, device="cuda")
    except RuntimeError:
        return True
    return False


def _is_of_old(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and text_of(error).startswith(_WORDS_OF_OLD)
