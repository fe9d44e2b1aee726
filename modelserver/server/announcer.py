"""Tells the service manager that has started the server (systemd) how it is."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from modelserver.language.attributes import define
from modelserver.system.service_manager import ServiceManager

STATUS_EVERY = 5.0
"""Seconds between two looks at what there is to tell."""

_log = Logger()


@define(eq=False)
class Announcer:
    """
    Says that the server starts, is ready and stops; in between, what it serves, and that its loop turns.

    :param status: makes the line that people see (``systemctl status``).
    """

    manager: ServiceManager
    clock: IReactorTime
    status: Callable[[], str]
    _last: str = field(default="", init=False)
    _ticks: LoopingCall = field(init=False)
    _is_heard: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = self.clock

    def start(self) -> None:
        """Say that models are being loaded, and tell the manager from now on that the loop turns."""
        self._tell(STATUS="loading the models of the start")
        watchdog = self.manager.watchdog
        every = STATUS_EVERY if watchdog is None else min(STATUS_EVERY, watchdog / 2)
        self._ticks.start(every, now=False)

    def ready(self) -> None:
        """Say that the start is over."""
        if self._ticks.running:  # else it is being stopped already
            self._last = self.status()
            self._tell(READY="1", STATUS=self._last)

    def stop(self) -> None:
        """Say that the server ends; nothing is told after it."""
        if self._ticks.running:
            self._ticks.stop()
            self._tell(STOPPING="1", STATUS="answering what is in hand")

    def _tick(self) -> None:
        said: dict[str, str] = {}
        if self._last and (status := self.status()) != self._last:
            self._last = said["STATUS"] = status
        if self.manager.watchdog is not None:
            said["WATCHDOG"] = "1"
        if said:
            self._tell(**said)

    def _tell(self, **values: str) -> None:
        try:
            self.manager.tell(**values)
        except OSError as error:
            if self._is_heard:
                _log.warn("The service manager does not hear: {error}", error=str(error))
            self._is_heard = False
        else:
            self._is_heard = True
