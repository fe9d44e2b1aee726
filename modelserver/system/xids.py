"""The errors (XIDs) that NVIDIA's driver tells of GPUs: https://docs.nvidia.com/deploy/xid-errors/"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

from attrs import field

from modelserver.language.attributes import define

OF_PROGRAMS = frozenset((13, 31, 43, 45, 68, 109))
"""
What a program can bring about on a sound GPU; NVIDIA's device plugin for Kubernetes leaves the same ones out:
https://github.com/NVIDIA/k8s-device-plugin/blob/main/internal/rm/health.go
"""
KEPT = 300.0
"""Seconds for which an error speaks against its GPU; what lasts, the driver goes on to tell in other ways."""
_MOST_EVENTS = 1000
"""That are read in one go."""


@define(eq=False)
class XidWatch:
    """
    Reads the driver's errors of some GPUs. Asking does not wait, but may take long with a GPU that is ill.

    :param library: ``pynvml``, initialized.
    :param indexes: of the GPUs among all of the machine.
    :param seconds: on a clock that never goes back.
    """

    library: ModuleType
    indexes: Iterable[int]
    seconds: Callable[[], float]
    _events: Any = field(default=None, init=False)
    _is_begun: bool = field(default=False, init=False)
    _last: dict[int, tuple[float, int]] = field(factory=dict, init=False)

    def reason(self, index: int) -> str | None:
        """Return what speaks against a GPU: an error of its own within the last ``KEPT`` seconds, or None."""
        if not self._is_begun:
            self._is_begun = True
            self._begin()
        if self._events is not None:
            self._read()
        at, xid = self._last.get(index, (0.0, 0))
        return f"the driver told error {xid} (XID)" if xid and self.seconds() - at < KEPT else None

    def _begin(self) -> None:
        library = self.library
        try:
            self._events = library.nvmlEventSetCreate()
        except library.NVMLError:
            return  # the driver tells no events
        for index in sorted(set(self.indexes)):
            try:
                handle = library.nvmlDeviceGetHandleByIndex(index)
                library.nvmlDeviceRegisterEvents(handle, library.nvmlEventTypeXidCriticalError, self._events)
            except library.NVMLError:
                continue  # this GPU tells none

    def _read(self) -> None:
        library = self.library
        for _ in range(_MOST_EVENTS):
            try:
                event = library.nvmlEventSetWait_v2(self._events, 0)
                index = int(library.nvmlDeviceGetIndex(event.device))
            except library.NVMLError:
                return  # there is none left, or the driver says of the GPU itself that it is lost
            xid = int(event.eventData)
            if event.eventType == library.nvmlEventTypeXidCriticalError and xid not in OF_PROGRAMS:
                self._last[index] = self.seconds(), xid
