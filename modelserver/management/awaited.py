"""Waits that the server's stop cuts short: for a download, for requirements, for workers that start."""

from __future__ import annotations

from typing import TypeVar

from attrs import field
from twisted.internet.defer import CancelledError, Deferred

from modelserver.core.version import ModelVersion
from modelserver.errors import NoWorkers
from modelserver.language.attributes import define
from modelserver.management.draining import RETRY_AFTER

_T = TypeVar("_T")


@define(eq=False)
class Awaited:
    """Lets callers wait; from ``stop`` on, they are told that the server stops."""

    _waiting: set[Deferred[object]] = field(factory=set, init=False)
    _is_over: bool = field(default=False, init=False)

    async def workers_of(self, version: ModelVersion) -> None:
        """
        Wait until all workers of a version are ready.

        :raises WorkersFailed: one cannot start.
        :raises NoWorkers: the server stops first.
        """
        await self.of(version.pool.when_settled(), version.spec.name, version.spec.version)

    async def of(self, coming: Deferred[_T], name: str, version: str | None = None) -> _T:
        """
        Wait for what is coming; the Deferred is cancelled where the server stops first.

        :param name: of the model that the caller has asked for.
        :raises NoWorkers: the server stops first.
        """
        kept: Deferred[object] = coming  # type: ignore[assignment]  # only to be cancelled
        self._waiting.add(kept)
        try:
            if self._is_over:
                coming.cancel()
            return await coming
        except CancelledError:
            if not self._is_over:
                raise
            raise NoWorkers(name, version, "the server is stopping", RETRY_AFTER) from None
        finally:
            self._waiting.discard(kept)

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._is_over = True
        for coming in list(self._waiting):
            coming.cancel()
