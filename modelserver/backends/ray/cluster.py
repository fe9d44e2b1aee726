"""The server's side of the driver, by which agents are started on a Ray cluster."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from itertools import count
from typing import cast

from attrs import field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger

from modelserver.backends.frame_socket import FrameSocket
from modelserver.backends.local import Spawned
from modelserver.backends.output import LineLog, OutputPipe
from modelserver.backends.ray.driver_words import DRIVER_FD, DriverKind
from modelserver.backends.ray.starter import ClusterUnusable, NodeNews, NodeRequest
from modelserver.interfaces import EventLoop
from modelserver.language.attributes import define
from modelserver.protocol import frames
from modelserver.protocol.documents import text
from modelserver.protocol.frames import Frame
from modelserver.protocol.worker_start import start_command
from modelserver.system.exit_descriptor import exit_descriptor

DRIVER = "modelserver.backends.ray.driver"
JOINING = 60.0
"""Seconds that joining a cluster, or starting one, may take."""
LEAVING = 10.0
"""Seconds that the driver has to leave it."""

_log = Logger()


def absent_for_ray() -> str | None:
    """Return what is not installed of what a cluster needs, or None."""
    return None if find_spec("ray") is not None else "ray (pip install 'modelserver[ray]')"


@define(eq=False)
class RayCluster:
    """
    Has agents started on a Ray cluster, which is joined when the first one is wanted.

    :param address: of the cluster, as ``ray_address`` has it.
    """

    address: str
    spawner: IReactorProcess
    loop: EventLoop
    clock: IReactorTime
    environment: Mapping[str, str]
    _driver: _Driver | None = field(default=None, init=False)
    _numbers: count[int] = field(factory=lambda: count(1), init=False)

    def join(self) -> Deferred[str]:
        """Join the cluster unless that is done; fires with this machine's address. Fails: ClusterUnusable."""
        if self._driver is None:
            missing = absent_for_ray()
            if missing is not None:
                return fail(ClusterUnusable(f"{missing} is not installed"))
            self._driver = _Driver(self)
            self._driver.start()
        return self._driver.joined()

    def start(self, request: NodeRequest, news: NodeNews) -> PlacedAgent:
        """Have an agent started."""
        agent = PlacedAgent(self, next(self._numbers))
        if self._driver is None:
            self.loop.call_soon(lambda: news.not_started("the driver of the cluster has ended"))
        else:
            self._driver.place(agent.number, request, news)
        return agent

    def cancel(self, number: int, is_silent: bool) -> None:
        """End an agent."""
        if self._driver is not None:
            self._driver.cancel(number, is_silent)

    def driver_ended(self, driver: _Driver) -> None:
        """The next wish starts another one."""
        if self._driver is driver:
            self._driver = None

    def close(self) -> Deferred[None]:
        """Leave the cluster; fires when that is done."""
        return succeed(None) if self._driver is None else self._driver.close()


@define(eq=False)
class PlacedAgent:
    """An agent that the driver was asked for."""

    cluster: RayCluster
    number: int

    def cancel(self, is_silent: bool = False) -> None:
        """End it, and give its share back."""
        self.cluster.cancel(self.number, is_silent)


class _Driver(ProcessProtocol):
    """One driver process, from its start to its end."""

    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster
        self._news: dict[int, NodeNews] = {}
        self._host: str | None = None
        self._refusal: str | None = None
        self._waiting: list[Deferred[str]] = []
        self._closing: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None
        self._pipes: list[OutputPipe] = []
        self._last = LineLog(lambda line: _log.info("The driver of Ray: {line}", line=line), cluster.clock)
        self._link: FrameSocket

    def start(self) -> None:
        """Start the process, and have it join the cluster."""
        cluster = self._cluster
        ours, theirs = socket.socketpair()
        reading, writing = os.pipe()
        self._pipes.append(OutputPipe(cluster.loop, reading, self._last))
        self._link = FrameSocket(ours, cluster.loop, self)
        command = start_command(sys.executable, DRIVER)
        try:
            transport = cluster.spawner.spawnProcess(
                self,
                sys.executable,
                command,
                env=dict(cluster.environment),
                childFDs={0: "w", 1: writing, 2: writing, DRIVER_FD: theirs.fileno()},
            )
        except OSError as error:
            self._refusal = f"the driver of Ray cannot be started: {error}"
            cluster.loop.call_soon(lambda: self.closed(None))
            return
        finally:
            theirs.close()
            os.close(writing)
        spawned = cast(Spawned, transport)
        spawned.closeChildFD(0)
        self._pipes[0].open()
        self._watch_end(spawned)
        self._link.open()
        self._link.send(frames.pack_json(DriverKind.JOIN, {"address": cluster.address}))
        self._timer = cluster.clock.callLater(JOINING, self._too_slow, spawned)

    def _watch_end(self, spawned: Spawned) -> None:
        watch = exit_descriptor(spawned.pid)

        def has_ended() -> None:
            self._cluster.loop.remove_reader(watch)
            os.close(watch)
            if spawned.pid is not None:
                spawned.reapProcess()
            for pipe in self._pipes:
                pipe.close()
            self._ended()

        self._cluster.loop.add_reader(watch, has_ended)

    def _too_slow(self, spawned: Spawned) -> None:
        self._refusal = (
            self._refusal or f"the cluster at {self._cluster.address} did not answer in {JOINING:g} s"
        )
        if spawned.pid is not None:
            os.kill(spawned.pid, 9)

    def joined(self) -> Deferred[str]:
        """Fire when the cluster is joined, with this machine's address there."""
        if self._refusal is not None:
            return fail(ClusterUnusable(self._refusal))
        if self._host is not None:
            return succeed(self._host)
        waiter: Deferred[str] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def place(self, number: int, request: NodeRequest, news: NodeNews) -> None:
        """Ask for an agent."""
        self._news[number] = news
        document = {
            "worker": request.worker,
            "version": request.version,
            "resources": dict(request.resources),
            "strategy": request.strategy,
            "line": request.line.decode(),
        }
        self._link.send(frames.pack_json(DriverKind.PLACE, document, number))

    def cancel(self, number: int, is_silent: bool) -> None:
        """Ask for an agent's end."""
        if self._news.pop(number, None) is not None:
            self._link.send(frames.pack_json(DriverKind.CANCEL, {"silent": is_silent}, number))

    # What the driver says.

    def frame_arrived(self, frame: Frame) -> None:
        """Pass news on to whom they concern."""
        document = frames.unpack_json(frame)
        if frame.kind == DriverKind.JOINED:
            self._host = text(document, "host")
            self._stop_timer()
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(self._host)
            return
        if frame.kind == DriverKind.UNUSABLE:
            self._refusal = text(document, "reason")
            self._link.close()
            self.closed(None)
            return
        news = self._news.get(frame.number)
        if news is None:
            return
        if frame.kind == DriverKind.WAITS:
            news.waits(text(document, "reason"))
        elif frame.kind == DriverKind.PLACED:
            news.placed(*(text(document, name) for name in ("node", "address", "group", "reason")))
        elif frame.kind == DriverKind.NOT_STARTED:
            news.not_started(text(document, "reason"))
        else:
            raise frames.unexpected(frame.kind)

    def turn_ended(self) -> None:
        """Nothing waits for the end of a turn."""

    def closed(self, problem: str | None) -> None:
        """The driver is of no use any more: the next wish starts another one."""
        self._stop_timer()
        self._cluster.driver_ended(self)
        reason = self._refusal or problem or "the driver of Ray has ended"
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.errback(ClusterUnusable(reason))
        news, self._news = self._news, {}
        for each in news.values():
            each.not_started(reason)

    # The end.

    def close(self) -> Deferred[None]:
        """Have it leave the cluster; fires when it has ended."""
        waiter: Deferred[None] = Deferred()
        self._closing.append(waiter)
        self._refusal = "the server is stopping"
        self._link.close()
        self._stop_timer()
        self._timer = self._cluster.clock.callLater(LEAVING, self._ended)
        return waiter

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _ended(self) -> None:
        self._stop_timer()
        self._link.close()
        self.closed(None)
        closing, self._closing = self._closing, []
        for waiter in closing:
            waiter.callback(None)
