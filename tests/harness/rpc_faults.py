"""Clients of a real gRPC server, for tests of faults: one that says anything, others that mean no harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field

from tests.harness.faults import RawClient, WatchedServer
from tests.harness.http2_client import Answered, Http2Client, Pairs, message
from tests.harness.rpc_messages import type_of
from tests.harness.server_process import LONGEST, eventually

SERVICE = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/"
PREDICTIONS = SERVICE + "Predictions"


def order(data: bytes) -> bytes:
    """Return a message that tells the model ``obey`` what to do."""
    request = type_of("inference.PredictionsRequest")(model_name="obey", input={"data": data})
    return message(request.SerializeToString())


def said(answer: Answered) -> list[bytes]:
    """Return what the model has answered."""
    read = type_of("inference.PredictionResponse").FromString
    return [bytes(read(each).prediction) for each in answer.messages]


@define(eq=False)
class CallingClient:
    """A client whose calls are answered, on a connection of its own."""

    port: int
    http2: Http2Client = field(factory=Http2Client)
    raw: RawClient = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.raw = RawClient(self.port)

    def begin(self, body: bytes | None, path: str = PREDICTIONS, more: Pairs = ()) -> int:
        """Begin a call, whole if it has a body; return its stream."""
        stream = self.http2.request(path, body, more)
        self.push()
        return stream

    def push(self, *frames: bytes) -> None:
        """Send what there is, and further frames, whatever they are."""
        self.raw.send(self.http2.output() + b"".join(frames))

    def read(self) -> bool:
        """Read what comes next; whether the connection goes on."""
        self.raw.received = b""
        goes_on = self.raw.read_more()
        self.http2.feed(self.raw.received)
        self.push()
        return goes_on

    def answer(self, stream: int) -> Answered:
        """Read until a call has ended, or the connection."""
        answer = self.http2.answers[stream]
        while not answer.is_ended and answer.reset is None and self.read():
            pass
        return answer

    def ask(self, data: bytes) -> Answered:
        """Ask the model."""
        return self.answer(self.begin(order(data)))


@define(eq=False)
class Bystanders:
    """
    Clients that mean no harm: one asks all the time, one waits for an answer.

    :param folder: for the files by which the one that waits is told to go on.
    """

    server: WatchedServer
    folder: Path
    answered: int = field(default=0, init=False)
    failed: list[Answered] = field(factory=list, init=False)
    _over: threading.Event = field(factory=threading.Event, init=False)

    def _ask_on(self) -> None:
        client = CallingClient(self.server.rpc_ports[0])
        with client.raw:
            while not self._over.is_set() and not self.failed:
                answer = client.ask(b"hello")
                if (answer.status, said(answer)) == (0, [b"hello"]):
                    self.answered += 1
                else:
                    self.failed.append(answer)

    def ask_again(self) -> None:
        """Wait for one more answer, to a question that was asked after now."""
        seen = self.answered + 1
        eventually(lambda: self.answered > seen or self.failed)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """
        Ask while something else happens.

        :raises AssertionError: a call has failed.
        """
        begun, go_on = self.folder / "begun", self.folder / "go on"
        thread = threading.Thread(target=self._ask_on)
        waiting = CallingClient(self.server.rpc_ports[0])
        with waiting.raw:
            stream = waiting.begin(order(f"noted-wait {begun} {go_on}".encode()))
            eventually(begun.exists)
            thread.start()
            try:
                self.ask_again()
                yield
                self.ask_again()
            finally:
                go_on.touch()
                self._over.set()
                thread.join(LONGEST)
            answer = waiting.answer(stream)
        assert self.failed == []
        assert (answer.status, said(answer)) == (0, [b"went on"])
