"""The delay of batches that the server chooses itself (``max_batch_delay: auto``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.queues.delay_policy import FollowUps, HandlerTimes, best_wait, counts_within
from modelserver.language.attributes import define


@define(eq=False)
class AutoDelay:
    """
    Lets a batch that is not full leave at once, or when it has waited for as long as is worth it.

    A moment opens when a worker could take a batch, and it is not full. How many jobs came after such moments
    before the batch was answered tells how many may be waited for: what comes later, comes because of the
    answer. Moments that an arrival opens, and those that a worker opens which has become free, are counted
    apart.

    :param most: the jobs that a batch can have.
    :param due: is called when the passing of time has made a batch due.
    """

    clock: IReactorTime
    most: int
    due: Callable[[], None]
    seconds: float = field(default=0.0, init=False)
    """What was chosen last."""
    times: HandlerTimes = field(factory=HandlerTimes, init=False)
    _by_arrival: FollowUps = field(factory=FollowUps, init=False)
    _by_worker: FollowUps = field(factory=FollowUps, init=False)
    _answered: float = field(default=-1.0, init=False)
    _opened: float | None = field(default=None, init=False)
    _watched: tuple[float, FollowUps] | None = field(default=None, init=False)
    _came: list[float] = field(factory=list, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def is_over(self, oldest: float, waiting: int, workers: int, has_choice: bool) -> bool:
        """
        Return whether a batch that is not full leaves; where not, ``due`` will be called when it shall.

        :param oldest: when its oldest job arrived, in the clock's (monotonic) seconds.
        :param waiting: how many jobs it has.
        :param workers: how many there are.
        :param has_choice: more than one of them is idle: who comes later need not wait.
        """
        now = self.clock.seconds()
        if self._opened is None:
            self._opened = now
            kind = self._by_arrival if oldest >= self._answered else self._by_worker
            self._watched, self._came = (now, kind), []
            self.seconds = 0.0
            if not has_choice and self.times.is_known:
                self.seconds = best_wait(waiting, self.most, self.times.of, kind.means, 1 / workers)
        left = self._opened + self.seconds - now
        if left <= 0:
            return True
        if self._timer is None:
            self._timer = self.clock.callLater(left, self._time_passed)
        return False

    def _time_passed(self) -> None:
        self._timer = None
        self.due()

    def left(self, arrivals: Iterable[float]) -> None:
        """Note that a batch has left, and when its jobs arrived."""
        if self._watched is not None:
            self._came += arrivals
        self.stop()

    def stop(self) -> None:
        """Call ``due`` no more for the jobs that have waited so far."""
        self._opened = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def answered(self, size: float, seconds: float, waiting: Iterable[float]) -> None:
        """
        Learn from an answer.

        :param size: the jobs of each call of the handler.
        :param seconds: what each took.
        :param waiting: when the jobs that wait now arrived.
        """
        self.times.learn(size, seconds)
        self._answered = self.clock.seconds()
        if self._watched is not None and self._opened is None:
            opened, kind = self._watched
            kind.learn(counts_within(opened, [*self._came, *waiting]))
            self._watched = None
