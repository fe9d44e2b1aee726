"""A worker's loop in a thread, and the server's end of its socket in a test's hands."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import TestCase

from attrs import evolve

from modelserver.child.context import Context
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.loops.select import make_loop
from modelserver.child.metrics.torchserve import HandlerMetrics
from modelserver.errors import ServingError
from modelserver.jobs import Answer, Job, JobRequest
from modelserver.protocol import frames
from modelserver.protocol.ahead import AheadReceiver, AheadSender
from modelserver.protocol.answer_rows import unpack_answers
from modelserver.protocol.frame_stream import FrameReader, send_all
from modelserver.protocol.load_request import LoadRequest
from modelserver.spec import VersionSpec, WorkerSettings, WorkerSpec
from modelserver.testing.providers import CollectingObserver

LONGEST = 20.0
FORM = b"Content-Type: multipart/form-data; boundary=B\r\n"
Data = list[dict[str, object]]


def load_request(**changes: Any) -> LoadRequest:
    """What a plain worker is told; ``changes`` are fields of it."""
    version = VersionSpec("m", "1.0", "m.mar", Path("/nowhere"), "handler")
    plain = LoadRequest.for_worker(WorkerSpec(version, "9000"), WorkerSettings(max_response_size=1000), 0)
    return evolve(plain, **changes)


def loaded(
    connection: socket.socket,
    reader: FrameReader,
    handle: Callable[[Data, Context], object],
    context: Context,
    ahead: AheadReceiver | None = None,
    **changes: Any,
) -> LoadedModel:
    """A handler that a loop can serve; ``changes`` are fields of its load request."""
    return LoadedModel(
        connection=connection,
        reader=reader,
        request=load_request(**changes),
        entry=handle,  # type: ignore[arg-type]  # a handler says what its data is
        context=context,
        ahead=ahead,
    )


class LoopTestCase(TestCase):
    """The server's end of the socket is the test's."""

    mode = "batches"

    def start(self, handle: Callable[[Data, Context], object], **changes: Any) -> None:
        """Run a loop with this handler in a thread until the test ends; ``changes``: see ``loaded``."""
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(LONGEST)
        self.reader = FrameReader()
        self.context = Context("m", "/nowhere", None, 1, None, "1", metrics=HandlerMetrics())
        reader = FrameReader()
        sender = AheadSender.open()
        assert sender is not None, "Linux has what it takes"
        self.ahead = sender
        self.addCleanup(sender.close)
        self.sizes: dict[int, int] = {}
        self.parts: deque[tuple[int, Sequence[Answer | ServingError]]] = deque()
        self.answers = 0
        ahead = AheadReceiver(*sender.descriptors)
        loop = make_loop(loaded(theirs, reader, handle, self.context, ahead, mode=self.mode, **changes))
        self.loop: Any = loop
        events = asyncio.new_event_loop()

        def run() -> None:
            asyncio.set_event_loop(events)
            try:
                loop.run()
            except (EOFError, ConnectionError):
                pass
            theirs.close()
            events.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, LONGEST)
        self.addCleanup(self.ours.close)

    def send(self, number: int, *jobs: Job) -> None:
        """Send a batch."""
        self.sizes[number] = len(jobs)
        send_all(self.ours, frames.pack_batch(number, jobs))

    def send_ahead(self, number: int, *jobs: Job) -> None:
        """Send jobs of which each is a call that the loop makes if it is not taken back."""
        self.ahead.offer(len(jobs))
        send_all(self.ours, frames.pack_batch(number, jobs, frames.PIPELINED | frames.AHEAD))

    def say(self, kind: int, number: int, count: int = 0) -> None:
        """Say something about clients."""
        self.ahead.parts.say()
        self.ours.sendall(frames.pack_bare(kind, number, count))

    def leave(self, number: int, place: int = 0) -> None:
        """Say that a client has left."""
        self.say(frames.CANCEL, number, place)

    def job(self, body: bytes, head: bytes = b"", request_id: bytes = bytes(16), flags: int = 0) -> Job:
        """A request."""
        return Job(JobRequest(request_id, head, b"", body, flags, None, 0.0, None), CollectingObserver())

    def receive(self, kind: int, number: int) -> Sequence[Answer | ServingError]:
        """What comes next, which must be of this kind and batch: a part, or a frame."""
        while not (kind == frames.PART and self._take_laid()):
            frame = self.reader.wait(self.ours)
            if frame.kind == frames.PART and not frame.items:
                self.ahead.parts.announcement_read()
                continue
            self.assertEqual(frame.kind, kind)
            ((answered, answers, _),) = unpack_answers(frame)
            self.assertEqual(answered, number)
            if kind == frames.ANSWERS:
                self.answers += len(answers)
            else:
                self.ahead.parts.frame_read()
            return answers
        laid, parts = self.parts.popleft()
        self.assertEqual(laid, number)
        return parts

    def _take_laid(self) -> bool:
        """Whether there is a part in the memory for them."""
        for number, parts in self.ahead.parts.take(self.answers):
            size = self.sizes.get(number, 1)
            self.parts += [(number, parts[at : at + size]) for at in range(0, len(parts), size)]
        return bool(self.parts)

    def bodies(self, kind: int, number: int) -> list[bytes]:
        """The bodies of the next frame."""
        answers = self.receive(kind, number)
        return [bytes(answer.body) for answer in answers if isinstance(answer, Answer)]

    def wait_until(self, event: threading.Event) -> None:
        """Wait for what a handler does."""
        self.assertTrue(event.wait(LONGEST))
