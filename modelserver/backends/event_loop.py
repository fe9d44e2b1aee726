"""asyncio's way to watch descriptors, for reactors that are not on asyncio."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.language.attributes import define


@implementer(IReadWriteDescriptor)
@define(eq=False)
class _Watched:
    """A descriptor and who wants to know about it."""

    fd: int
    on_readable: Callable[[], object] | None = None
    on_writable: Callable[[], object] | None = None

    def fileno(self) -> int:
        """Its number."""
        return self.fd

    def doRead(self) -> None:
        """It can be read."""
        if self.on_readable is not None:
            self.on_readable()

    def doWrite(self) -> None:
        """It can be written."""
        if self.on_writable is not None:
            self.on_writable()

    def connectionLost(self, reason: Failure) -> None:
        """The next read will tell whoever watches."""

    def logPrefix(self) -> str:
        """For the log."""
        return "worker socket"


@define(eq=False)
class ReactorLoop:
    """``modelserver.interfaces.EventLoop`` on any Twisted reactor that watches descriptors."""

    descriptors: IReactorFDSet
    clock: IReactorTime
    _watched: dict[int, _Watched] = field(factory=dict, init=False)

    def _at(self, fd: int) -> _Watched:
        if fd not in self._watched:
            self._watched[fd] = _Watched(fd)
        return self._watched[fd]

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Call when ``fd`` can be read."""
        watched = self._at(fd)
        watched.on_readable = callback
        self.descriptors.addReader(watched)

    def remove_reader(self, fd: int) -> None:
        """Call no more."""
        watched = self._at(fd)
        watched.on_readable = None
        self.descriptors.removeReader(watched)
        self._forget(watched)

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None:
        """Call when ``fd`` can be written."""
        watched = self._at(fd)
        watched.on_writable = callback
        self.descriptors.addWriter(watched)

    def remove_writer(self, fd: int) -> None:
        """Call no more."""
        watched = self._at(fd)
        watched.on_writable = None
        self.descriptors.removeWriter(watched)
        self._forget(watched)

    def _forget(self, watched: _Watched) -> None:
        if watched.on_readable is None and watched.on_writable is None:
            self._watched.pop(watched.fd, None)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call once this turn's events are handled."""
        self.clock.callLater(0, callback)
