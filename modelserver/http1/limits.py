"""The open connections of a server: how many there may be, and how long each may take for what it does."""

from __future__ import annotations

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.errors import ServerFull
from modelserver.http1.answer_memory import AnswerMemory
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.head import Malformed
from modelserver.http1.states import OpenConnection, Phase
from modelserver.language.attributes import define, frozen

SWEEP = 1.0
"""Seconds between two looks: one timer for all connections instead of one for each."""
LAST_LOOK = 0.02
LAST_QUESTIONS = 0.3
"""Seconds at the end in which a connection without a request may still bring one."""
RESERVE = 128
"""Descriptors that all connections must leave to workers and files."""
FEWEST_AT_OTHERS, MOST_AT_OTHERS = 64, 1024
"""Connections that a listener without predictions may have, which these must leave to it, too."""
MOST_RESERVED = RESERVE + 2 * MOST_AT_OTHERS
FEWEST_DESCRIPTORS = RESERVE + 3 * FEWEST_AT_OTHERS
"""With fewer, clients who open connections and say nothing could keep workers from starting."""
MOST_OVER_LIMIT = 16
"""Connections over its limit that a listener may have for a moment; they come out of the reserve, too."""
OVER_LIMIT_TIME = 2.0
"""Seconds that one of those has for the head of its request."""

_log = Logger()


@frozen
class ConnectionTimeouts:
    """
    How long a client may take, in seconds.

    :param idle: without a request.
    :param head: for the head of a request, and before the rate of its body counts.
    :param linger: to go, when it has taken all that is left for it.
    :param body: for the body of a request, while there is memory for bodies; as that fills, less.
    :param write: without progress in taking its answer.
    :param rate: bytes a second that a body must arrive with at least, on the average, and that an answer must
        be taken with; 0: any.
    """

    idle: float = 75.0
    head: float = 10.0
    linger: float = 5.0
    body: float = 3600.0
    write: float = 60.0
    rate: int = 500


@frozen
class Watch:
    """
    What a connection was doing, and since when.

    :param since: the clock's seconds.
    :param received: how much of the body was there then.
    :param left: how much of its answers it had not taken then, in its last phase.
    """

    phase: Phase
    served: int
    since: float
    received: int
    left: int = 0


@define(eq=False)
class ListenerConnections:
    """
    The connections of one listener, which may be so many.

    One that is over a limit is let in all the same: it is answered once and closed, with what it asked for if
    that is no prediction, so that management and health are always reached. Those are few: the oldest whose
    request has not come whole makes room for the next.

    :param open: the connections of all listeners.
    :param limit: how many at this listener; 0: any number.
    :param limit_of_address: how many from one address; 0: any number.
    :param most_over_limit: how many may be over a limit.
    :param answers: counts answers that clients do not take.
    """

    open: set[OpenConnection]
    limit: int = 0
    limit_of_address: int = 0
    most_over_limit: int = MOST_OVER_LIMIT
    answers: AnswerMemory | None = None
    _over_limit: dict[OpenConnection, None] = field(factory=dict, init=False)
    _count: int = field(default=0, init=False)
    _hosts: dict[str, int] = field(factory=dict, init=False)

    def refusal(self, host: str) -> ServerFull | None:
        """Return the limit that one more connection from ``host`` would be over, or None."""
        if self.limit and self._count >= self.limit:
            return ServerFull("", None, self.limit, "max_connections")
        if self.limit_of_address and self._hosts.get(host, 0) >= self.limit_of_address:
            return ServerFull("", None, self.limit_of_address, "max_connections_per_address")
        return None

    def add(self, connection: OpenConnection) -> None:
        """Count a connection that is open."""
        self.open.add(connection)
        if connection.limit_exceeded is not None:
            self._admit_over_limit(connection)
            return
        self._count += 1
        self._hosts[connection.host] = self._hosts.get(connection.host, 0) + 1

    def discard(self, connection: OpenConnection) -> None:
        """Count a connection no more."""
        self.open.discard(connection)
        if self.answers is not None:
            self.answers.discard(connection)
        if connection.limit_exceeded is not None:
            self._over_limit.pop(connection, None)
            return
        self._count -= 1
        left = self._hosts[connection.host] - 1
        if left:
            self._hosts[connection.host] = left
        else:
            del self._hosts[connection.host]

    def note_full(self, connection: OpenConnection) -> None:
        """Count a client that takes no more of its answers at present."""
        if self.answers is not None:
            self.answers.note_full(connection)

    def _admit_over_limit(self, connection: OpenConnection) -> None:
        self._over_limit[connection] = None
        if len(self._over_limit) > self.most_over_limit:
            leaver = next((each for each in self._over_limit if each.phase is not Phase.BUSY), connection)
            del self._over_limit[leaver]
            _evict(leaver)


@define(eq=False)
class Connections:
    """
    Owns the open connections, and closes those whose clients take too long.

    :param clock: its seconds are monotonic.
    :param memory: what the bodies of requests may take together.
    :param response_memory: bytes of answers that clients may leave untaken together; 0: any number.
    """

    clock: IReactorTime
    timeouts: ConnectionTimeouts = ConnectionTimeouts()
    memory: BodyMemory = field(factory=BodyMemory)
    response_memory: int = 0
    open: set[OpenConnection] = field(factory=set, init=False)
    _watches: dict[OpenConnection, Watch] = field(factory=dict, init=False)
    _answers: AnswerMemory = field(init=False)
    _loop: LoopingCall = field(init=False)
    _last: LoopingCall = field(init=False)
    _end: float = field(default=0.0, init=False)
    """When those are cut off who take answers at a stop."""

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self.sweep)
        self._loop.clock = self.clock
        timeouts = self.timeouts
        self._answers = AnswerMemory(self.clock, self.response_memory, timeouts.write, timeouts.rate)

    def for_listener(self, limit: int = 0, limit_of_address: int = 0) -> ListenerConnections:
        """Return what counts the connections of one listener, which may be so many; 0: any number."""
        return ListenerConnections(self.open, limit, limit_of_address, answers=self._answers)

    def start(self) -> None:
        """Begin to watch."""
        self._loop.start(SWEEP, now=False).addErrback(self._watch_on)

    def _watch_on(self, failure: Failure) -> None:
        """Go on after a look that has failed: it shall not be the last one at everybody's time."""
        _log.failure("The time of connections could not be looked at", failure)
        self.start()

    def close(self, seconds: float, for_answers: float = 0.0) -> Deferred[None]:
        """
        Answer what clients have asked or ask now, each with the end of its connection.

        A connection that rests is closed after a moment: its client may be asking just now.

        :param for_answers: seconds that clients have who take answers.
        :return: fires when no connection is left; after ``seconds`` those that are have been cut off.
        """
        for connection in list(self.open):
            connection.finish()
        begun = self.clock.seconds()
        self._end = begun + max(seconds, for_answers)
        looking = LoopingCall(self._look_at_the_last, begun + min(LAST_QUESTIONS, seconds), begun + seconds)
        looking.clock = self.clock
        self._last = looking
        return looking.start(LAST_LOOK).addCallback(lambda loop: None)

    def hurry(self) -> None:
        """Wait for those who take answers no longer than for others."""
        self._end = 0.0

    def _look_at_the_last(self, rest_until: float, end: float) -> None:
        now = self.clock.seconds()
        if now >= rest_until:
            for connection in [each for each in self.open if each.phase is Phase.IDLE]:
                connection.close()
        if now >= end:
            late = [each for each in self.open if now >= self._end or not each.left]
            for connection in (*late, *late):  # the second time, those that were told and linger
                connection.abort()
        if not self.open or now >= max(end, self._end):
            self._last.stop()
            if self._loop.running:
                self._loop.stop()

    @property
    def unsent(self) -> int:
        """Bytes of answers that are on their way to clients."""
        return sum(connection.unsent for connection in self.open)

    def sweep(self) -> None:
        """Look at every connection once."""
        now = self.clock.seconds()
        watches, self._watches = self._watches, {}
        connections = list(self.open)
        self._answers.sweep(connections)
        for connection in connections:
            self._watches[connection] = watch = self._watch(connection, watches.get(connection), now)
            self._look_at_request(connection, watch, now)

    def _watch(self, connection: OpenConnection, before: Watch | None, now: float) -> Watch:
        """Return since when a client does what it does; one that takes what is left begins anew each time."""
        phase, served = connection.phase, connection.served
        left = connection.left if phase is Phase.LINGER else 0
        if before is not None and before.phase is phase and before.served == served:
            taken = before.left - left
            if taken <= 0 or (left and taken < self.timeouts.rate * (now - before.since)):
                return before
        return Watch(phase, served, now, connection.received, left)

    def _look_at_request(self, connection: OpenConnection, watch: Watch, now: float) -> None:
        """Refuse, close or cut off a connection whose client takes too long for what it does."""
        spent, timeouts, phase = now - watch.since, self.timeouts, watch.phase
        is_over_limit = connection.limit_exceeded is not None and phase in (Phase.IDLE, Phase.HEAD)
        if is_over_limit and spent >= OVER_LIMIT_TIME:
            _evict(connection)
        elif phase is Phase.IDLE and spent >= timeouts.idle:
            connection.close()
        elif phase is Phase.LINGER and spent >= (timeouts.write if watch.left else timeouts.linger):
            connection.abort()
        elif phase is Phase.HEAD and spent >= timeouts.head:
            connection.refuse(Malformed(408, f"The head of the request took over {timeouts.head:g} s."))
        elif phase is Phase.BODY and (problem := self._problem_of_body(connection, watch, spent)):
            connection.refuse(Malformed(408, problem))

    def _problem_of_body(self, connection: OpenConnection, watch: Watch, spent: float) -> str:
        """Return why a body comes too slowly, or nothing; the fuller memory is, the less time it has."""
        timeouts = self.timeouts
        if spent >= timeouts.head and connection.received - watch.received < spent * timeouts.rate:
            return f"The body came with under {timeouts.rate} bytes a second."
        if spent >= max(timeouts.head, timeouts.body * self.memory.free):
            return f"The body took over {int(spent)} s."
        return ""


def _evict(connection: OpenConnection) -> None:
    """Refuse a client whose connection is over a limit, and make room for another at once."""
    assert connection.limit_exceeded is not None  # only such connections are evicted
    connection.refuse(connection.limit_exceeded)
    connection.close()


def most_at_others(descriptors: int) -> int:
    """
    Return how many connections a listener without predictions may have: management stays reachable.

    :param descriptors: that this process may have.
    """
    return max(FEWEST_AT_OTHERS, min(MOST_AT_OTHERS, descriptors // 16))


def most_connections(limit: int, descriptors: int) -> int:
    """
    Return how many connections predictions may have, so that descriptors are left for everything else.

    :param limit: as configured; 0: no limit.
    :param descriptors: that this process may have.
    """
    possible = max(descriptors - RESERVE - 2 * most_at_others(descriptors), 1)
    return min(limit, possible) if limit else possible
