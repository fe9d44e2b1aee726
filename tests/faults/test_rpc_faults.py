"""gRPC as an attacker speaks it, to a real server: bounded, named in the log, and harmless to others."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from attrs import frozen

from tests.harness.faults import OBEY, RawClient, WatchedServer, serving, watching
from tests.harness.http2_client import HEADERS, Http2Client, message, raw_frame, raw_request
from tests.harness.http2_contract import CONTINUATION, HEADERS_FRAME, RST_STREAM
from tests.harness.rpc_faults import PREDICTIONS, SERVICE, Bystanders, CallingClient, order, said
from tests.harness.server_process import LONGEST, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("grpc faults")]

DATA, PRIORITY, SETTINGS, PUSH_PROMISE, PING, WINDOW_UPDATE = 0, 2, 4, 5, 6, 8
TALK = SERVICE + "StreamPredictions2"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + raw_frame(SETTINGS, 0, 0, b"")
QUIET = 1.0
"""Seconds in which the log has one line about connections that were ended."""
MOST_GROWTH = 32 << 20
"""Bytes by which the server may have grown while it is attacked."""
OPENING = raw_request(1, PREDICTIONS.encode())
ENTRY = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"b" * 4000
"""A long field that goes into HPACK's table, where a byte names it."""


FLOODED = ("too_many_pings: ", "broken: HTTP/2 engine error: Flooding")
"""By whose count comes first, ours or the library's."""


@frozen
class Attack:
    """
    What is sent on a new connection, and how the log names it.

    :param id: the row's name.
    :param names: in the log, one of them.
    :param has_preface: it begins as HTTP/2 does.
    """

    id: str
    sent: bytes
    names: tuple[str, ...] = ("broken: ",)
    has_preface: bool = True


def given_up(count: int) -> bytes:
    """Return calls, each given up at once."""
    calls = []
    for stream in range(1, 2 * count, 2):
        calls += [raw_request(stream, PREDICTIONS.encode()), raw_frame(DATA, 1, stream, order(b"x"))]
        calls.append(raw_frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
    return b"".join(calls)


def fields(block: bytes, flags: int = 4, stream: int = 1) -> bytes:
    """Return the fields of a request, or their beginning."""
    return raw_frame(HEADERS_FRAME, flags, stream, block)


FLOODS = (
    Attack("rapid-resets", given_up(6500)),
    Attack(
        "endless-fields", fields(b"\x83\x86", 0) + raw_frame(CONTINUATION, 0, 1, b"\x40\x01a\x01b") * 100_000
    ),
    Attack("endless-empty-fields", fields(b"", 0) + raw_frame(CONTINUATION, 0, 1, b"") * 100_000),
    Attack("fields-by-index", fields(b"\x83\x86" + ENTRY + b"\xbe" * 3000)),
    Attack("pings", raw_frame(PING, 0, 0, bytes(8)) * 100_000, FLOODED),
    Attack("pings-beside-a-call", OPENING + raw_frame(PING, 0, 0, bytes(8)) * 100_000, FLOODED),
    Attack("settings", raw_frame(SETTINGS, 0, 0, b"\0\x04\0\0\xff\xff") * 100_000, FLOODED),
    Attack("answers-to-no-settings", raw_frame(SETTINGS, 1, 0, b"") * 1000),
    Attack("empty-pieces", raw_request(1, TALK.encode()) + raw_frame(DATA, 0, 1, b"") * 50_000),
    Attack("windows-that-overflow", raw_frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2),
)
BAD_FRAMES = (
    Attack("ping-of-7", raw_frame(PING, 0, 0, bytes(7))),
    Attack("settings-of-5", raw_frame(SETTINGS, 0, 0, bytes(5))),
    Attack("reset-of-3", OPENING + raw_frame(RST_STREAM, 0, 1, bytes(3))),
    Attack("window-of-nothing", raw_frame(WINDOW_UPDATE, 0, 0, bytes(4))),
    Attack("settings-answer-with-a-body", raw_frame(SETTINGS, 1, 0, bytes(6))),
    Attack("longer-than-all", b"\xff\xff\xff\0\0\0\0\0\x01" + bytes(100_000)),
    Attack("padding-over-the-end", fields(b"\xff\x83", 12)),
    Attack("push", raw_frame(PUSH_PROMISE, 4, 1, bytes(8))),
    Attack("fields-of-nobody", fields(b"\x83", stream=0)),
    Attack("body-of-nobody", raw_frame(DATA, 0, 0, b"x")),
    Attack("even-stream", fields(b"\x83\x86\x44\x02/a", 5, 2)),
    Attack("body-before-its-request", raw_frame(DATA, 0, 99, b"x")),
    Attack("fields-that-are-none", fields(b"\xff" * 30, 5)),
    Attack("continuation-of-nothing", raw_frame(CONTINUATION, 4, 1, b"\x83")),
)
OTHERS = (
    Attack("http-1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(100), has_preface=False),
    Attack("zeros", bytes(1000), has_preface=False),
    Attack("tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03" + bytes(100), has_preface=False),
)


@pytest.fixture(scope="module")
def server() -> Iterator[WatchedServer]:
    """One server for all rows, with a worker for each bystander; impatient with silent clients."""
    properties = {"header_timeout": "2", "write_timeout": "2", "metrics_mode": "prometheus"}
    with serving({"obey": OBEY}, properties, has_rpc=True) as started:
        assert started.register("obey.mar", initial_workers=2).status == 200
        first = CallingClient(started.rpc_ports[0])  # what a server loads at its first call is no fault
        with first.raw:
            assert said(first.ask(b"first")) == [b"first"]
        yield started


def held(server: WatchedServer, name: str) -> float:
    """Return the sum of a metric."""
    lines = [line for line in server.scrape().splitlines() if line.startswith(f"modelserver_{name}{{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture(autouse=True)
def bystanders(server: WatchedServer, tmp_path: Path) -> Iterator[Bystanders]:
    """Whatever is sent in any of these tests, others are served, and nothing of it is kept."""
    process = psutil.Process(server.process.pid)
    others = Bystanders(server, tmp_path)
    with watching(server), others.asking():
        before = process.memory_info().rss
        yield others
        assert process.memory_info().rss - before < MOST_GROWTH
    for name in ("queue_depth", "in_flight_requests", "worker_restarts_total"):
        eventually(lambda name=name: held(server, name) == 0)  # type: ignore[misc]  # it has a default


def line_about(server: WatchedServer, client: RawClient) -> str:
    """Return what the log says of the end of a client's connection."""
    host, port = client.connection.getsockname()
    begin = f"The gRPC connection of /{host}:{port} was ended: "
    return next((line.partition(begin)[2] for line in server.lines if begin in line), "")


def wait_for_a_line() -> None:
    """Wait until the log may have another line about a connection."""
    free = time.monotonic() + QUIET
    eventually(lambda: time.monotonic() > free)


@pytest.mark.parametrize("row", [*FLOODS, *BAD_FRAMES, *OTHERS], ids=lambda row: row.id)
def test_connection_is_ended_and_the_log_says_why(server: WatchedServer, row: Attack) -> None:
    """And others, on other connections, are answered."""
    wait_for_a_line()
    with RawClient(server.rpc_ports[0]) as client:
        reader = threading.Thread(target=client.read_to_end)
        reader.start()
        client.send((PREFACE if row.has_preface else b"") + row.sent)
        reader.join(LONGEST)
        assert not reader.is_alive(), "the server has not closed the connection"
        said = eventually(lambda: line_about(server, client))
        assert said.startswith(row.names)


def test_client_that_says_nothing_is_sent_away(server: WatchedServer) -> None:
    """After the time that it has for its first words."""
    wait_for_a_line()
    with RawClient(server.rpc_ports[0]) as client:
        client.read_to_end()
        assert eventually(lambda: line_about(server, client)).startswith("refused: ")


@pytest.mark.parametrize(
    "sent",
    [
        raw_frame(PING, 1, 0, bytes(8)) * 10_000,
        raw_frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 5000,
        raw_frame(0x77, 0, 0, b"anything") * 5000,
    ],
    ids=["answers-to-no-pings", "priorities", "unknown-frames"],
)
def test_frames_that_mean_nothing_do_nothing(server: WatchedServer, sent: bytes) -> None:
    """Their connection is served on."""
    with_end = CallingClient(server.rpc_ports[0])
    with with_end.raw:
        with_end.push(sent)
        assert said(with_end.ask(b"on the same")) == [b"on the same"]


def test_fields_over_the_soft_limit_cost_only_their_call(server: WatchedServer) -> None:
    """A call of 20 kB of metadata is refused, the next one of its connection is served."""
    client = CallingClient(server.rpc_ports[0])
    with client.raw:
        refused = client.answer(client.begin(order(b"x"), more=[(b"x-long", b"a" * 20_000)]))
        assert refused.status == 8
        assert said(client.ask(b"next")) == [b"next"]


def test_content_types_and_paths_that_are_none(server: WatchedServer) -> None:
    """Each is answered, on one connection, which is served on."""
    client = CallingClient(server.rpc_ports[0])
    with client.raw:
        for _ in range(300):
            html = [*HEADERS[:3], (b"content-type", b"text/html"), *HEADERS[4:]]
            stream = client.http2.request(PREDICTIONS, order(b"x"), headers=html)
            client.push()
            assert client.answer(stream).head[b":status"] == b"415"
            for path in (PREDICTIONS[1:], "/" + PREDICTIONS, PREDICTIONS.upper(), "/no.Service/Such"):
                stream = client.http2.request(path if path[0] == "/" else "/x", order(b"x"))
                client.push()
                assert client.answer(stream).status == 12
        assert said(client.ask(b"next")) == [b"next"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\x02" + order(b"x")[1:], 3),
        (b"\0\xff\xff\xff\xff" + bytes(100), 8),
        (order(b"x")[:-1], 3),
        (order(b"x") * 2, 3),
        (b"", 3),
        (b"\0\0", 3),
        (message(b"\xff" * 50), 3),
        (b"\x01" + order(b"x")[1:], 13),
    ],
    ids=["flags", "4-gb", "short", "two", "none", "half-a-head", "no-message", "compressed-by-nothing"],
)
def test_messages_whose_lengths_are_wrong(server: WatchedServer, body: bytes, status: int) -> None:
    """Each is refused with its code, and the connection is served on."""
    client = CallingClient(server.rpc_ports[0])
    with client.raw:
        assert client.answer(client.begin(body)).status == status
        assert said(client.ask(b"next")) == [b"next"]


def test_windows_of_nothing_hold_what_waits_for_them_only(server: WatchedServer) -> None:
    """Answers of 4 MB together wait for a client that takes none; others are served."""
    client = CallingClient(server.rpc_ports[0], Http2Client(window=0))
    with client.raw:
        for _ in range(20):
            client.begin(order(b"big 200000"))
        eventually(lambda: held(server, "in_flight_requests") == 1)


@pytest.mark.parametrize(
    "pieces",
    [
        [raw_frame(DATA, 0, 1, b"") * 5000],
        [raw_frame(DATA, 0, 1, message(b"")) * 10_000],
        [raw_frame(DATA, 0, 1, message(b"") * 3000) * 4],
    ],
    ids=["no-messages", "one-a-frame", "thousands-a-frame"],
)
def test_pieces_and_messages_of_nothing_hold_nobody_up(server: WatchedServer, pieces: list[bytes]) -> None:
    """Each message is refused, and thousands of them are read over several turns."""
    client = CallingClient(server.rpc_ports[0])
    with client.raw:
        assert client.begin(None, TALK) == 1
        client.push(*pieces)
        client.push(raw_frame(RST_STREAM, 0, 1, b"\0\0\0\x08"))
        assert said(client.ask(b"next")) == [b"next"]
