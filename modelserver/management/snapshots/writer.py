"""Writes snapshots of the registered models: after the start, after each change, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from attrs import field
from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.interfaces import InThread
from modelserver.language.attributes import define
from modelserver.management.snapshots.format import (
    CHANGED,
    SHUTDOWN,
    STARTUP,
    remove_oldest,
    render_file,
    snapshot_name,
    take_snapshot,
    write_snapshot,
)
from modelserver.management.workflows.requests import RegisteredWorkflow
from modelserver.spec import VersionDescription

_log = Logger()


@define(eq=False)
class Snapshots:
    """
    Keeps the newest snapshot up to date. Nothing is written before ``begin``: a start that is half done is
    no state to come back to.

    :param properties: every effective key of the configuration, as text.
    :param versions: describes what is registered now.
    :param now: seconds since the epoch.
    :param kept: how many files stay; older ones are removed.
    :param workflows: what is registered of them now.
    :param source: the snapshot that this server was started with; it stays.
    :param run_soon: runs something in the reactor's next turn; the changes of one turn are one snapshot.
    """

    folder: Path
    properties: Mapping[str, str]
    versions: Callable[[], Iterable[VersionDescription]]
    now: Callable[[], float]
    in_thread: InThread
    run_soon: Callable[[Callable[[], None]], object]
    kept: int = 100
    source: Path | None = None
    workflows: Callable[[], Iterable[RegisteredWorkflow]] = tuple
    _is_on: bool = field(default=False, init=False)
    _is_current: bool = field(default=False, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)
    _why: str = field(default="", init=False)
    _last: float = field(default=0.0, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)

    def begin(self, is_complete: bool = True) -> Deferred[None]:
        """
        Write changes from now on: the start is over.

        :param is_complete: all models of the start were loaded. If not, the newest snapshot stays the one to
            come back to, until a model is changed.
        :returns: fires when the snapshot of the start is on disk, or cannot be written.
        """
        self._is_on = True
        return self._write(STARTUP) if is_complete else succeed(None)

    def changed(self) -> Deferred[None]:
        """
        Note that a version was registered, unregistered, scaled or made the default.

        :returns: fires when the change is on disk, or cannot be written: what a client was answered survives
            a crash.
        """
        if not self._is_on:
            return succeed(None)
        if not self._waiting:
            self.run_soon(self._write_changed)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def _write_changed(self) -> None:
        waiting, self._waiting = self._waiting, []
        written = self._write(CHANGED) if self._is_on else succeed(None)
        for each in waiting:
            written.chainDeferred(each)

    async def end(self) -> None:
        """Write the last snapshot; it is on disk when this returns, as are those before it."""
        if not self._is_on:
            return
        self._is_on = False
        if self._is_current:
            self._write(SHUTDOWN)
        await self._turn.run(lambda: None)

    def _write(self, occasion: str) -> Deferred[None]:
        """Describe the models now, and write when earlier snapshots are written."""
        self._is_current = True
        # The names are milliseconds: two of the same would be one file.
        created = self._last = max(self.now(), self._last + 0.002)
        try:
            name = snapshot_name(occasion, created)
            snapshot = take_snapshot(name, created, self.versions(), self.workflows())
            text = render_file(self.properties, snapshot)
        except Exception:  # such as the time of a zone that is none: no client and no stop waits for it
            self._failed(Failure())  # type: ignore[no-untyped-call]  # Twisted's
            return succeed(None)
        return self._turn.run(self._put, name, text).addErrback(self._failed)

    def _put(self, name: str, text: str) -> Deferred[None]:
        return self.in_thread(self._put_now, name, text).addCallback(self._told, name)

    def _put_now(self, name: str, text: str) -> bool:
        """Write a snapshot, and remove those that are too many. Blocks."""
        is_written = write_snapshot(self.folder, name, text)
        remove_oldest(self.folder, self.kept, self.source)
        return is_written

    def _told(self, is_written: bool, name: str) -> None:
        self._why = ""
        if not is_written:
            _log.error("The snapshot {name} exists already and was not written", name=name)

    def _failed(self, failure: Failure) -> None:
        """Say why no snapshot was written, once for the same reason."""
        why = str(getattr(failure.value, "strerror", None) or failure.getErrorMessage())
        if why != self._why:
            self._why = why
            _log.error("Snapshots cannot be written to {folder}: {why}", folder=str(self.folder), why=why)
