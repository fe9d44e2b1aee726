"""The phases of a server's stop: readiness fails, new requests are refused, old ones are served."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.errors import NoWorkers
from modelserver.inference.workflows import WorkflowInference
from modelserver.language.attributes import define

LAST_ERRORS = 5.0
"""Seconds for the workers to be gone, and their requests with them, once the time to drain is over."""
RETRY_AFTER = 1.0
"""Seconds after which clients of a server that stops are told to come again: another may serve them then."""

_log = Logger()


@define(eq=False)
class Draining:
    """
    Runs the phases of a stop; each can be cut short.

    :param workflows: whose runs in progress go on to their ends; None: there are none.
    :param begun: whether the stop has begun; readiness fails from then on.
    :ivar is_hurried: whether it was cut short.
    """

    registry: Registry
    clock: IReactorTime
    workflows: WorkflowInference | None = None
    begun: bool = field(default=False, init=False)
    is_hurried: bool = field(default=False, init=False)
    _versions: list[ModelVersion] = field(factory=list, init=False)
    _pause: Deferred[None] | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    async def announce(self, lag: float) -> None:
        """Fail readiness, and serve on for ``lag`` seconds, in which load balancers notice."""
        self.begun = True
        await self._wait(lag)

    async def finish(self, timeout: float) -> None:
        """Refuse new requests, and wait until all others are served, at most ``timeout`` seconds."""
        end = self.clock.seconds() + timeout
        self._versions = self.registry.all()
        await self._end_runs(timeout)
        self._close(self._versions)
        if not await self._served(max(0.0, end - self.clock.seconds())):
            _log.warn("Requests are left unfinished: the time to drain is over.")
            # Their clients are told so while their connections are there.
            for version in self._versions:
                version.queue.fail_all(_stopping(version))
                version.pool.kill()
            await self._served(LAST_ERRORS)

    async def _end_runs(self, timeout: float) -> None:
        """Begin no more runs of workflows; let those in progress call the models that they need."""
        if self.workflows is None:
            return
        self.workflows.close(NoWorkers("", None, "the server is stopping", RETRY_AFTER))
        needed = self.workflows.models_in_use()
        self._close([version for version in self._versions if version.spec.name not in needed])
        ended = self.workflows.when_idle()
        ended.addCallbacks(lambda _: self._go_on(), lambda _: None)
        if not ended.called and timeout > 0:
            await self._wait(timeout)
        ended.cancel()

    def _close(self, versions: Iterable[ModelVersion]) -> None:
        for version in versions:
            version.queue.close(_stopping(version))

    async def _served(self, timeout: float) -> bool:
        """Wait until nothing waits and nothing is in a worker's hand; return whether that came in time."""
        idle = [version.pool.when_idle() for version in self._versions]
        served = DeferredList(idle, consumeErrors=True)
        served.addCallback(lambda _: self._go_on())
        if not served.called and timeout > 0:
            await self._wait(timeout)
        for each in idle:
            each.cancel()
        return all(version.pool.is_idle for version in self._versions)

    def stop_now(self) -> None:
        """End the present wait, and kill the workers: a second signal came."""
        self.is_hurried = True
        for version in self._versions or self.registry.all():
            version.pool.kill()
        self._go_on()

    def _wait(self, seconds: float) -> Deferred[None]:
        pause: Deferred[None] = Deferred()
        self._pause = pause
        if self.is_hurried:
            self._go_on()
        else:
            self._timer = self.clock.callLater(seconds, self._go_on)
        return pause

    def _go_on(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        pause, self._pause = self._pause, None
        if pause is not None:
            pause.callback(None)


def _stopping(version: ModelVersion) -> NoWorkers:
    spec = version.spec
    return NoWorkers(spec.name, spec.version, "the server is stopping", RETRY_AFTER)
