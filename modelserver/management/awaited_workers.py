"""Callers who wait for the workers that they have asked for."""

from __future__ import annotations

from attrs import field
from twisted.internet.defer import CancelledError, Deferred

from modelserver.core.version import ModelVersion
from modelserver.errors import NoWorkers
from modelserver.language.attributes import define
from modelserver.management.draining import RETRY_AFTER


@define(eq=False)
class AwaitedWorkers:
    """Lets callers wait; from ``stop`` on, they are told that the server stops."""

    _waiting: list[Deferred[None]] = field(factory=list, init=False)
    _is_over: bool = field(default=False, init=False)

    async def of(self, version: ModelVersion) -> None:
        """
        Wait until all workers of a version are ready.

        :raises WorkersFailed: one cannot start.
        :raises NoWorkers: the server stops first.
        """
        settled = version.pool.when_settled()
        self._waiting.append(settled)
        try:
            if self._is_over:
                settled.cancel()
            await settled
        except CancelledError:
            if not self._is_over:
                raise
            spec = version.spec
            raise NoWorkers(spec.name, spec.version, "the server is stopping", RETRY_AFTER) from None
        finally:
            self._waiting.remove(settled)

    def stop(self) -> None:
        """Let nobody wait any longer."""
        self._is_over = True
        for settled in list(self._waiting):
            settled.cancel()
