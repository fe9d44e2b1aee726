"""Whether this process uses CUDA, by the driver's own word: no copy of it could then."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

_LIBRARY = "libcuda.so.1"
_SUCCESS = 0


def loaded_driver() -> Any | None:
    """Return the driver's library if something in this process has loaded it; None: nothing has."""
    try:
        return ctypes.CDLL(_LIBRARY, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except (OSError, AttributeError):
        return None  # or this is no system that can tell


def driver_hazard(driver: Callable[[], Any | None] = loaded_driver) -> str | None:
    """
    Return what speaks against a fork of this process; None: CUDA is not in use.

    A driver that was initialized is of no use in a process that is forked then, context or not. It is
    initialized by nothing here: the questions alone do not do that.
    """
    library = driver()
    if library is None:
        return None
    count = ctypes.c_int()
    if library.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return None  # it has not been initialized
    devices = [str(device) for device in range(count.value) if _has_context(library, device)]
    if devices:
        return f"CUDA has contexts on devices ({', '.join(devices)})"
    return "CUDA's driver is initialized"


def _has_context(library: Any, device: int) -> bool:
    """Whether a device has the context that libraries share."""
    flags, is_active = ctypes.c_uint(), ctypes.c_int()
    told = library.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(is_active))
    return told == _SUCCESS and bool(is_active.value)
