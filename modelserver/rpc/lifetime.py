"""How long a connection lives, whether its client is still there, and how often a client may ask that."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from attrs import field

from modelserver.language.attributes import define
from modelserver.rpc.http2 import ConnectionBroken, ErrorCode, Http2Engine
from modelserver.rpc.limits import RpcLimits

DRAINED = b"drained."
"""Sent with a ping behind the first notice of the end: its answer says that the client knows."""
ALIVE = b"alive?  "
SPREAD = 0.1
"""By which part of it the age of connections differs, so that clients who came together do not return so."""
_GOLDEN = 0.618034


@define
class Allowance:
    """
    A token bucket: so many of something at once, and so many a second.

    :param at_once: how many are left.
    :param a_second: how many come back.
    """

    most: float
    a_second: float
    _left: float = field(init=False)
    _at: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.most

    def take(self, now: float) -> bool:
        """Take one; return whether it was allowed. ``now``: the clock's (monotonic) seconds."""
        left = min(self.most, self._left + (now - self._at) * self.a_second)
        self._at = now
        self._left = left - 1 if left >= 1 else left
        return left >= 1

    def refill(self) -> None:
        """Allow as many as at the beginning."""
        self._left = self.most


class Ending(Enum):
    """How far a connection's end has come."""

    OPEN = "calls begin"
    DRAINING = "the client was asked to begin none"
    LAST = "none begins; those in hand are finished"


class LivingConnection(Protocol):
    """What a connection's lifetime asks of it."""

    engine: Http2Engine

    def flush_soon(self) -> None:
        """Have what is queued leave; the connection closes behind the last of it."""

    def abort(self) -> None:
        """Close now."""

    def blame(self, name: str, reason: str) -> None:
        """Write down what the client has done."""


@define(eq=False)
class Lifetime:
    """
    One connection's.

    :param born: when it began, in the clock's (monotonic) seconds.
    :param ordinal: how many connections there were before: their ages are spread by it.
    """

    connection: LivingConnection
    limits: RpcLimits
    born: float
    ordinal: int = 0
    ending: Ending = field(default=Ending.OPEN, init=False)
    heard: float = field(init=False)
    """When the client last said something."""
    _used: float = field(init=False)
    """When it had calls last, as far as was looked."""
    _served: int = field(default=0, init=False)
    _asked: float | None = field(default=None, init=False)
    _pings: Allowance = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.heard = self._used = self.born
        self._pings = Allowance(self.limits.pings_at_once, 1 / self.limits.seconds_per_ping)

    # What the client does.

    def pinged(self, now: float) -> None:
        """
        Count a ping, which is answered already.

        :raises ConnectionBroken: the client was told to stop, and goes on.
        """
        if self._pings.take(now):
            return
        if self.ending is Ending.LAST:
            raise ConnectionBroken(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
        self.connection.blame("too_many_pings", f"over {self.limits.pings_at_once} pings without an answer")
        self._pings.refill()
        self._end(ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings")

    def answered(self) -> None:
        """Allow pings again: the client has something to wait for, and gets it."""
        self._pings.refill()

    def ponged(self, data: bytes) -> None:
        """Note a sign of life."""
        self._asked = None
        if data == DRAINED and self.ending is Ending.DRAINING:
            self._end(ErrorCode.NO_ERROR, b"")

    def client_leaves(self) -> None:
        """Close after the calls in hand: the client will begin no more."""
        self.ending = Ending.LAST
        self.connection.flush_soon()

    # What the server does.

    def drain(self, now: float) -> None:
        """Ask the client to begin no more calls here, and close when those that it has begun are answered."""
        if self.ending is Ending.OPEN:
            self.ending = Ending.DRAINING
            engine = self.connection.engine
            engine.announce_end()
            engine.ping(DRAINED)
            self._asked = now
            self.connection.flush_soon()

    def _end(self, code: ErrorCode, reason: bytes) -> None:
        self.ending = Ending.LAST
        self.connection.engine.end(code, reason)
        self.connection.flush_soon()

    def check(self, now: float, in_hand: int, served: int) -> None:
        """
        Look at the connection's age and use, and whether its client is there; called every now and then.

        :param in_hand: calls that are not over.
        :param served: calls that are.
        """
        limits = self.limits
        if in_hand or served != self._served:
            self._used, self._served = now, served
        elif limits.idle is not None and now - self._used >= limits.idle:
            self.drain(now)
        if limits.max_age is not None:
            over = now - self.born - self._age(limits.max_age)
            if over >= 0:
                self.drain(now)
            if limits.age_grace is not None and over >= limits.age_grace:
                self.connection.abort()
                return
        self._look_for_life(now)

    def _age(self, longest: float) -> float:
        """Return this connection's own longest age; that of the first is the one that was asked for."""
        place = (0.5 + self.ordinal * _GOLDEN) % 1
        return longest * (1 + SPREAD * (2 * place - 1))

    def _look_for_life(self, now: float) -> None:
        limits = self.limits
        if self._asked is not None:
            if now - max(self._asked, self.heard) >= limits.keepalive_timeout:
                self.connection.blame("silent", f"no sign of life for {limits.keepalive_timeout:g} s")
                self.connection.abort()
        elif limits.keepalive is not None and now - self.heard >= limits.keepalive:
            self._asked = now
            self.connection.engine.ping(ALIVE)
            self.connection.flush_soon()
