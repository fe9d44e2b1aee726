"""The open connections of a server, looked over once a second: idle, slow and refused ones are closed."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from modelserver.rest.channel import Channel, Mode

SWEEP = 1.0
"""Seconds between two looks: one timer for all connections instead of one for each."""


@define(eq=False)
class Connections:
    """
    Owns the set of open channels.

    :param idle: seconds that a connection may be open without a request.
    :param head: seconds that the head of a request may take.
    :param linger: seconds that the client of a refused request may take to read why.
    """

    clock: IReactorTime
    idle: float = 300.0
    head: float = 30.0
    linger: float = 5.0
    channels: set[Channel] = field(factory=set, init=False)
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self.sweep)
        self._loop.clock = self.clock

    def start(self) -> None:
        """Begin to look."""
        self._loop.start(SWEEP, now=False)

    def stop(self) -> None:
        """Close everything."""
        if self._loop.running:
            self._loop.stop()
        for channel in list(self.channels):
            channel.transport.loseConnection()

    def sweep(self) -> None:
        """Close what has been still for too long."""
        for channel in list(self.channels):
            if channel.touched and channel.mode is not Mode.LINGER:
                channel.touched = False
                channel.idle = 0
                continue
            channel.idle += 1
            if channel.idle * SWEEP >= self._patience(channel):
                channel.abortConnection()

    def _patience(self, channel: Channel) -> float:
        if channel.mode is Mode.LINGER:
            return self.linger
        if channel.mode is Mode.BODY or channel.has_part_of_head:
            return self.head
        return self.idle if channel.mode is Mode.HEAD else float("inf")
