"""An open load: requests leave at their time, however long the answers take; each is accounted for."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from attrs import define, field, frozen

from bench.client import cause

ANSWER_TIMEOUT = 60.0
"""Seconds after which a request counts as unanswered."""
LEFT, UNANSWERED, WRONG = "left on purpose", "unanswered", "wrong body"


@define
class Account:
    """What became of the requests."""

    sent: int = 0
    answered: int = 0
    left: int = 0
    failed: Counter[str] = field(factory=Counter)
    seconds: list[float] = field(factory=list)
    refusal_seconds: list[float] = field(factory=list)

    @property
    def unanswered(self) -> int:
        """How many have no answer at all."""
        return self.failed[UNANSWERED]


class Client(asyncio.Protocol):
    """One connection of HTTP/1.1: one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._data = b""
        self._done: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The server has accepted."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A part of an answer, or all of it."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self._done is None or self._done.done():
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(body) >= length:
            self._data = body[length:]
            self._done.set_result((int(head[9:12]), body[:length]))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed."""
        self.transport = None
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionResetError())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """
        The status and the body of the answer.

        :raises OSError: the connection ended without one.
        """
        if self.transport is None:
            raise ConnectionResetError
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await asyncio.wait_for(self._done, ANSWER_TIMEOUT)


@frozen
class Refused(Exception):
    """An answer that is no prediction; ``why`` in few words."""

    why: str


class Asker(Protocol):
    """Asks one model, however it is reached."""

    async def ask(self, body: bytes) -> bytes:
        """
        The answer.

        :raises Refused: there is none, and why.
        :raises OSError: nobody has said anything.
        """

    async def leave(self, body: bytes, part: float, wait: float) -> None:
        """Ask, but leave before the answer: ``part`` of the request is sent, ``wait`` seconds are waited."""

    async def close(self) -> None:
        """End what is open."""


@define(eq=False)
class HttpAsker:
    """Asks over HTTP/1.1, on as many connections as there are requests at a time."""

    port: int
    path: str
    _idle: list[Client] = field(factory=list, init=False)

    async def ask(self, body: bytes) -> bytes:
        """The answer."""
        client = await self._client()
        code, answer = await client.ask(self._request(body))
        if code == 200:
            self._idle.append(client)
            return answer
        if client.transport is not None:
            client.transport.close()
        raise Refused(f"{code} {cause(answer)}")

    async def leave(self, body: bytes, part: float, wait: float) -> None:
        """Send a part of the request or all of it, and go."""
        client, request = await self._client(), self._request(body)
        if client.transport is not None:
            client.transport.write(request[: 1 + int(part * len(request))])
            await asyncio.sleep(wait)
            if client.transport is not None:
                client.transport.abort()

    async def close(self) -> None:
        """End the connections."""
        for client in self._idle:
            if client.transport is not None:
                client.transport.close()

    async def _client(self) -> Client:
        while self._idle:
            client = self._idle.pop()
            if client.transport is not None and not client.transport.is_closing():
                return client
        _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", self.port)
        return client

    def _request(self, body: bytes) -> bytes:
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


@define(eq=False)
class OpenLoad:
    """
    Asks one model at a rate.

    :param leaving: the share of clients that leave before the answer is there.
    :param expected: the right answer; None: what was sent.
    """

    asker: Asker
    rate: float
    leaving: float = 0.0
    expected: bytes | None = None
    account: Account = field(factory=Account, init=False)
    _tasks: set[asyncio.Task[None]] = field(factory=set, init=False)
    _random: random.Random = field(factory=lambda: random.Random(6), init=False)

    async def run(self, seconds: float) -> None:
        """Send for so long, then wait for every answer."""
        begun = time.monotonic()
        number = 0
        while (now := time.monotonic()) < begun + seconds:
            while number < (now - begun) * self.rate:
                number += 1
                task = asyncio.ensure_future(self._one(b"%d" % number))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0.002)
        if self._tasks:
            await asyncio.wait(set(self._tasks))
        await self.asker.close()

    async def keep_busy(self, seconds: float, connections: int) -> float:
        """Answers a second with so many clients that each ask again at once: the capacity."""
        end = time.monotonic() + seconds
        before, begun = self.account.answered, time.monotonic()

        async def one() -> None:
            while time.monotonic() < end:
                await self._one(b"busy")

        await asyncio.gather(*(one() for _ in range(connections)))
        await self.asker.close()
        return (self.account.answered - before) / (time.monotonic() - begun)

    async def _one(self, body: bytes) -> None:
        account = self.account
        account.sent += 1
        begun = time.monotonic()
        try:
            if self._random.random() < self.leaving:
                account.left += 1
                await self.asker.leave(body, self._random.random(), self._random.random() * 0.01)
                return
            answer = await self.asker.ask(body)
        except (OSError, asyncio.TimeoutError):
            account.failed[UNANSWERED] += 1
        except Refused as refusal:
            account.failed[refusal.why] += 1
            account.refusal_seconds.append(time.monotonic() - begun)
        else:
            if answer == (body if self.expected is None else self.expected):
                account.answered += 1
                account.seconds.append(time.monotonic() - begun)
            else:
                account.failed[WRONG] += 1


def run_every(seconds: float, act: Callable[[], object]) -> asyncio.Task[None]:
    """Call something that blocks, in a thread, again and again until the task is cancelled."""

    async def again() -> None:
        while True:
            await asyncio.sleep(seconds)
            await asyncio.get_running_loop().run_in_executor(None, act)

    return asyncio.ensure_future(again())
