"""An HTTP/2 client in memory, which says what a test wants, whether it is allowed or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from attrs import define, field

PATH = "/test.Service/"
HEADERS = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"127.0.0.1:7070"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
    (b"user-agent", b"grpc-test"),
)
GOAWAY = 7
FRAME_HEAD = 9
Pairs = Sequence[tuple[bytes, bytes]]


def message(body: bytes, flag: int = 0) -> bytes:
    """A message as it goes into a body."""
    return bytes([flag]) + len(body).to_bytes(4, "big") + body


def raw_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Any frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def raw_request(stream: int, path: bytes) -> bytes:
    """The fields of a request without a body yet, none of which goes into the table of HPACK."""
    pairs = ((b"\x04", path), (b"\x01", b"a"), (b"\x0f\x10", b"application/grpc"))
    lines = [name + bytes([len(value)]) + value for name, value in pairs]
    return raw_frame(1, 4, stream, b"\x83\x86" + b"".join(lines))


@define
class Answered:
    """What came back on one stream."""

    head: dict[bytes, bytes] = field(factory=dict)
    tail: dict[bytes, bytes] = field(factory=dict)
    body: bytes = b""
    is_ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> int | None:
        """gRPC's, wherever it stands."""
        found = self.tail.get(b"grpc-status", self.head.get(b"grpc-status"))
        return None if found is None else int(found)

    @property
    def text(self) -> str:
        """gRPC's message."""
        return self.tail.get(b"grpc-message", self.head.get(b"grpc-message", b"")).decode()

    @property
    def messages(self) -> list[bytes]:
        """The messages of the body."""
        found, rest = [], self.body
        while rest:
            size = int.from_bytes(rest[1:5], "big")
            found.append(rest[5 : 5 + size])
            rest = rest[5 + size :]
        return found


class Http2Client:
    """One connection's client. What it is to send is in ``output``; what comes is given to ``feed``."""

    def __init__(self, window: int = 65535) -> None:
        configuration = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.connection = h2.connection.H2Connection(configuration)
        codes = h2.settings.SettingCodes
        self.connection.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                codes.INITIAL_WINDOW_SIZE: window,
                codes.MAX_FRAME_SIZE: 16384,
                codes.MAX_HEADER_LIST_SIZE: 65536,
            },
        )
        self.connection.initiate_connection()
        self.answers: dict[int, Answered] = {}
        self._unread = b""
        self.goaways: list[tuple[int, int, bytes]] = []
        """Of each: the error code, the last stream, the reason."""
        self.settings: dict[int, int] = {}
        self.pongs: list[bytes] = []
        self.takes = True
        """Whether windows are given back."""

    def output(self) -> bytes:
        """What is to be sent."""
        return self.connection.data_to_send()

    def request(
        self, method: str = "Echo", body: bytes | None = None, more: Pairs = (), headers: Pairs = HEADERS
    ) -> int:
        """Begin a request, whole if it has a body; return its stream."""
        stream = self.connection.get_next_available_stream_id()
        path = [(b":path", (method if method.startswith("/") else PATH + method).encode())]
        self.connection.send_headers(stream, [*headers[:2], *path, *headers[2:], *more])
        self.answers[stream] = Answered()
        if body is not None:
            self.data(stream, body, True)
        return stream

    def data(self, stream: int, body: bytes, ends: bool = False) -> None:
        """Send a piece of a body, in as many frames as it takes."""
        largest = self.connection.max_outbound_frame_size
        while len(body) > largest:
            self.connection.send_data(stream, body[:largest])
            body = body[largest:]
        self.connection.send_data(stream, body, end_stream=ends)

    def feed(self, data: bytes) -> None:
        """
        Take what came.

        Notices of the end are noted here, and kept from h2: it would end the connection at the first, while
        calls in hand are still to be answered.
        """
        self._unread += data
        others = b""
        while len(self._unread) >= FRAME_HEAD:
            end = FRAME_HEAD + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < end:
                break
            frame, self._unread = self._unread[:end], self._unread[end:]
            if frame[3] == GOAWAY:
                last, code = int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big")
                self.goaways.append((code, last, frame[17:]))
            else:
                others += frame
        try:
            events = self.connection.receive_data(others)
        except h2.exceptions.ProtocolError:
            return
        for event in events:
            self._note(event)

    def _note(self, event: Any) -> None:
        answer = self.answers.setdefault(getattr(event, "stream_id", None) or 0, Answered())
        if isinstance(event, h2.events.ResponseReceived):
            answer.head = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.takes and event.flow_controlled_length:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.tail = dict(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            answer.is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            self.settings.update(
                {int(code): change.new_value for code, change in event.changed_settings.items()}
            )
        elif isinstance(event, h2.events.PingAckReceived):
            self.pongs.append(event.ping_data)
