"""HTTP as an attacker speaks it: what is sent to a real server, and what must hold. Each row is a test."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from attrs import frozen

from tests.harness.faults import OBEY, RawClient, WatchedServer, serving, statuses, watching
from tests.harness.server_process import ask, eventually

pytestmark = pytest.mark.xdist_group("http faults")

HOST = b"Host: x\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[WatchedServer]:
    """One server for all rows, impatient with slow clients."""
    properties = {
        "header_timeout": "2",
        "idle_timeout": "3",
        "write_timeout": "2",
        "minimum_body_rate": "1000",
        "max_response_size": "200000000",
        "install_py_dep_per_model": "false",
    }
    with serving({"obey": OBEY}, properties) as started:
        assert started.register("obey.mar").status == 200
        yield started


@pytest.fixture(autouse=True)
def watched(server: WatchedServer) -> Iterator[None]:
    """Whatever is sent in any of these tests, the reactor is there all the time."""
    with watching(server):
        yield


@frozen
class Attack:
    """
    What is sent, and the code of the one answer that comes before the server closes.

    :param id: the row's name.
    """

    id: str
    sent: bytes
    code: int = 400


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/predictions/obey") -> bytes:
    """A request with exactly these header lines."""
    return b"POST " + target + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


SMUGGLED = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
"""What follows each attack on the same connection: it must not be answered."""

ATTACKS = (
    Attack("no-host", b"GET /ping HTTP/1.1\r\n\r\n"),
    Attack("two-hosts", b"GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    Attack("length-and-chunked", post(b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: chunked")),
    Attack("chunked-and-length", post(b"Host: x", b"Transfer-Encoding: chunked", b"Content-Length: 0")),
    Attack("equal-lengths", post(b"Host: x", b"Content-Length: 5", b"Content-Length: 5", body=b"abcde")),
    Attack("different-lengths", post(b"Host: x", b"Content-Length: 5", b"Content-Length: 6", body=b"abcde")),
    Attack("length-list", post(b"Host: x", b"Content-Length: 5, 5", body=b"abcde")),
    Attack("plus-length", post(b"Host: x", b"Content-Length: +5", body=b"abcde")),
    Attack("negative-length", post(b"Host: x", b"Content-Length: -5", body=b"abcde")),
    Attack("hex-length", post(b"Host: x", b"Content-Length: 0x5", body=b"abcde")),
    Attack("empty-length", post(b"Host: x", b"Content-Length: ")),
    Attack("underscore-length", post(b"Host: x", b"Content-Length: 1_0", body=b"abcdefghij")),
    Attack("endless-length", post(b"Host: x", b"Content-Length: " + b"9" * 40)),
    Attack("bare-lf", b"GET /ping HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
    Attack("lf-heads", b"GET /ping HTTP/1.1\nHost: x\n\n"),
    Attack("one-lf", b"GET /ping HTTP/1.1\r\nHost: x\n\r\n"),
    Attack("bare-cr", b"GET /ping HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n"),
    Attack("folded-header", b"GET /ping HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n"),
    Attack("space-before-colon", post(b"Host: x", b"Content-Length : 5", body=b"abcde")),
    Attack("nameless-header", b"GET /ping HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"),
    Attack("bad-header-name", b"GET /ping HTTP/1.1\r\nHost: x\r\nX(y): z\r\n\r\n"),
    Attack("header-without-colon", b"GET /ping HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n"),
    Attack("nul-in-header", b"GET /ping HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n"),
    Attack("nul-in-target", b"GET /predictions/a%00b HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("raw-nul-in-target", b"GET /pi\x00ng HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("space-in-target", b"GET /pi ng HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("two-spaces", b"GET  /ping HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("bytes-in-target", b"GET /p\xffng HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("unknown-coding", post(b"Host: x", b"Transfer-Encoding: gzip")),
    Attack("coding-behind-chunked", post(b"Host: x", b"Transfer-Encoding: chunked, identity")),
    Attack("two-codings", post(b"Host: x", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    Attack("coding-with-tab", post(b"Host: x", b"Transfer-Encoding: \x0bchunked")),
    Attack("asterisk-target", b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("target-without-slash", b"GET xping HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("authority-target", b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("no-version", b"GET /ping\r\nHost: x\r\n\r\n"),
    Attack("version-2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Attack("lower-case-version", b"GET /ping http/1.1\r\nHost: x\r\n\r\n"),
    Attack("no-method", b" /ping HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("bad-method", b"G(T /ping HTTP/1.1\r\nHost: x\r\n\r\n"),
    Attack("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n"),
    Attack("long-target", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    Attack("long-header", b"GET /ping HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
    Attack("many-headers", b"GET /ping HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 4000 + b"\r\n", 431),
    Attack("endless-line", b"GET /" + b"a" * 40000, 414),
    Attack("announced-too-large", post(b"Host: x", b"Content-Length: 6553501"), 413),
    Attack(
        "chunked-too-large",
        post(
            b"Host: x", b"Transfer-Encoding: chunked", body=b"63ffdd\r\n" + b"x" * 6553501 + b"\r\n0\r\n\r\n"
        ),
        413,
    ),
    Attack("chunk-size-no-number", post(b"Host: x", b"Transfer-Encoding: chunked", body=b"zz\r\nab\r\n")),
    Attack("chunk-size-signed", post(b"Host: x", b"Transfer-Encoding: chunked", body=b"-1\r\nab\r\n")),
    Attack("chunk-size-0x", post(b"Host: x", b"Transfer-Encoding: chunked", body=b"0x2\r\nab\r\n")),
    Attack("chunk-size-endless", post(b"Host: x", b"Transfer-Encoding: chunked", body=b"1" * 30000)),
    Attack("chunk-too-long", post(b"Host: x", b"Transfer-Encoding: chunked", body=b"2\r\nabc\r\n0\r\n\r\n")),
    Attack(
        "chunk-extension-endless",
        post(b"Host: x", b"Transfer-Encoding: chunked", body=b"2;" + b"a" * 30000 + b"\r\nab\r\n0\r\n\r\n"),
    ),
    Attack(
        "trailers-endless",
        post(b"Host: x", b"Transfer-Encoding: chunked", body=b"0\r\n" + b"X: y\r\n" * 20000 + b"\r\n"),
    ),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_refused_with_a_close(server: WatchedServer, attack: Attack) -> None:
    """One answer with the right code, then the end: what follows on the connection is not served."""
    with RawClient(server.ports[0]) as client:
        client.send(attack.sent + SMUGGLED)
        received = client.read_to_end()
    assert statuses(received) == [attack.code], received[:300]
    assert ask(server.ports[0], "GET", "/ping").status == 200


PLACES = (
    "//models",
    "/models/.",
    "/models/..",
    "/%6dodels",
    "/MODELS",
    "/models/",
    "/models",
    "/./models",
    "/models%2f",
    "/models;a=b",
)


@pytest.mark.parametrize("path", PLACES)
def test_management_is_not_reached_by_another_spelling(server: WatchedServer, path: str) -> None:
    """The inference port has no management, however it is spelt."""
    assert ask(server.ports[0], "GET", path).status in (400, 404, 405)


NAMES = ("..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "a%2fb", "x" * 300, "%ff%fe", "%0d%0aSet-Cookie:x", "none")


@pytest.mark.parametrize("name", NAMES)
def test_unknown_names_are_not_found_and_not_counted(server: WatchedServer, name: str) -> None:
    """A name that nobody serves makes no metric series, and is not repeated in headers."""
    answer = ask(server.ports[0], "POST", f"/predictions/{name}", b"x")
    assert answer.status in (400, 404), answer
    assert "set-cookie" not in answer.headers
    assert name[:40] not in ask(server.ports[2], "GET", "/metrics").text


def request(body: bytes, *lines: bytes) -> bytes:
    """A good request."""
    return post(b"Host: x", b"Content-Length: %d" % len(body), *lines, body=body)


def test_one_byte_at_a_time_is_the_same_request(server: WatchedServer) -> None:
    """A request cut into bytes is answered as a whole one."""
    with RawClient(server.ports[0]) as client:
        for place in range(len(request(b"abc"))):
            client.send(request(b"abc")[place : place + 1])
        assert client.read_answers(1) == [(200, b"abc")]


@pytest.mark.parametrize("count", [5000, 100_000])
def test_one_byte_chunks(server: WatchedServer, count: int) -> None:
    """A body in many chunks of one byte does not hold the reactor up."""
    sent = post(b"Host: x", b"Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * count + b"0\r\n\r\n")
    with RawClient(server.ports[0]) as client:
        client.send(sent)
        assert client.read_answers(1) == [(200, b"x" * count)]


def test_pipelined_requests_are_answered_in_order(server: WatchedServer) -> None:
    """Plain ones, and ones that Twisted Web reads, mixed."""
    bodies = [b"%d" % number for number in range(30)]
    lines = [b"X: y", b"Expect: nothing"]
    with RawClient(server.ports[0]) as client:
        client.send(b"".join(request(body, lines[place % 3 == 2]) for place, body in enumerate(bodies)))
        assert client.read_answers(30) == [(200, body) for body in bodies]


TARGETS = (
    (b"GET http://x/ping", 200, b"Healthy"),
    (b"POST http://x/predictions/obey", 200, b""),
    (b"DELETE http://x/predictions/obey", 200, b""),
    (b"OPTIONS http://x", 200, b"openapi"),
    (b"OPTIONS *", 200, b"openapi"),
    (b"GET http://x/nothing", 404, b"ResourceNotFoundException"),
)


@pytest.mark.parametrize(("line", "code", "words"), TARGETS)
def test_a_target_may_have_any_form(server: WatchedServer, line: bytes, code: int, words: bytes) -> None:
    """Absolute URLs and ``*`` are read as the path that they mean, and answered as every other request."""
    with RawClient(server.ports[0]) as client:
        client.send(line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = client.read_to_end()
    assert statuses(received) == [code], received[:300]
    assert words in received
    assert b"\r\nserver:" not in received.lower()


def test_the_server_header_names_no_version(server: WatchedServer) -> None:
    """Nor does any other answer."""
    for path in ("/ping", "/nothing", "/predictions/none"):
        assert not any(
            character.isdigit() for character in ask(server.ports[0], "GET", path).headers.get("server", "")
        )


def test_a_slow_head_is_ended(server: WatchedServer) -> None:
    """A byte now and then does not keep a connection."""
    with RawClient(server.ports[0]) as client:
        client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nX: ")
        client.connection.settimeout(0.3)
        eventually(lambda: _dribble(client))
        assert statuses(client.received) == [408]


def _dribble(client: RawClient) -> bool:
    """Send a byte and look for an answer; whether it is over."""
    is_taken = client.send(b"a")
    try:
        return not client.read_more() or not is_taken
    except TimeoutError:
        return False


def test_a_slow_body_is_ended(server: WatchedServer) -> None:
    """A body that comes with fewer bytes a second than it must."""
    with RawClient(server.ports[0]) as client:
        client.send(post(b"Host: x", b"Content-Length: 100000", body=b"x"))
        client.connection.settimeout(0.3)
        eventually(lambda: _dribble(client))
        assert statuses(client.received) == [408]


def test_a_slow_chunked_body_is_ended(server: WatchedServer) -> None:
    """The same for one that Twisted Web reads."""
    with RawClient(server.ports[0]) as client:
        client.send(post(b"Host: x", b"Transfer-Encoding: chunked", body=b"fffff\r\n"))
        client.connection.settimeout(0.3)
        eventually(lambda: _dribble(client))
        assert statuses(client.received) == [408]


def test_an_idle_connection_is_closed(server: WatchedServer) -> None:
    """Without an answer, for nothing was asked."""
    with RawClient(server.ports[0]) as client:
        assert client.read_to_end() == b""


def test_a_client_that_does_not_read_is_cut_off(server: WatchedServer) -> None:
    """What it left untaken is dropped, and the worker serves others meanwhile."""
    process = psutil.Process(server.process.pid)
    with RawClient(server.ports[0]) as client:
        own = client.connection.getsockname()[1]
        client.send(request(b"big 20000000"))
        assert ask(server.ports[0], "POST", "/predictions/obey", b"x").status == 200
        eventually(lambda: own in _peers(process))
        eventually(lambda: own not in _peers(process))
        assert len(client.read_to_end()) < 20000000


def _peers(process: psutil.Process) -> set[int]:
    """The ports of the clients that a server is connected with."""
    return {found.raddr.port for found in process.net_connections() if found.raddr}


def test_a_client_that_pipelines_and_does_not_read_is_not_read(server: WatchedServer) -> None:
    """Answers do not pile up in the server's memory."""
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    with RawClient(server.ports[0]) as client:
        client.send(request(b"big 5000000") * 200)
        own = client.connection.getsockname()[1]
        eventually(lambda: own not in _peers(process))
        assert process.memory_info().rss - before < 200_000_000
    assert ask(server.ports[0], "GET", "/ping").status == 200


def test_leaving_in_the_middle_of_everything(server: WatchedServer) -> None:
    """Clients that go at any byte leave no connection behind."""
    process = psutil.Process(server.process.pid)
    whole = request(b"x" * 300000)
    for place in (1, 20, 60, 100, 1000, 100000, len(whole)):
        with RawClient(server.ports[0]) as client:
            client.send(whole[:place])
    eventually(lambda: not _peers(process))
    assert ask(server.ports[0], "POST", "/predictions/obey", b"x").status == 200


def form(count: int, boundary: bytes = b"b") -> bytes:
    """A multipart form of so many parts."""
    part = b"--" + boundary + b'\r\nContent-Disposition: form-data; name="n%d"\r\n\r\nv\r\n'
    body = b"".join(part % number for number in range(count)) + b"--" + boundary + b"--\r\n"
    return request(body, b"Content-Type: multipart/form-data; boundary=" + boundary)


JSON = b"Content-Type: application/json"
BODIES = (
    ("form-of-many-parts", form(60000)),
    ("form-with-long-boundary", form(3, b"b" * 8000)),
    ("form-without-end", request(b"--b\r\nContent-Disp", b"Content-Type: multipart/form-data; boundary=b")),
    ("form-without-boundary", request(b"--b--", b"Content-Type: multipart/form-data")),
    ("urlencoded-flood", request(b"a=1&" * 200000, b"Content-Type: application/x-www-form-urlencoded")),
    ("deep-json", request(b"[" * 10000 + b"]" * 10000, JSON)),
    ("very-deep-json", request(b"[" * 900000, JSON)),
    ("huge-integer", request(b"1" * 100000, JSON)),
    ("lone-surrogate", request(b'"\\ud800"', JSON)),
    ("broken-utf-8", request(b'"\xff\xfe"', JSON)),
    ("not-a-number", request(b"[NaN, Infinity, 1e999]", JSON)),
    ("empty-json", request(b"", JSON)),
    ("half-json", request(b'{"a": ', JSON)),
    ("odd-charset", request(b"{}", b"Content-Type: application/json; charset=utf-7")),
    ("odd-type", request(b"x", b"Content-Type: \xff/;;=;")),
)


@pytest.mark.parametrize(("name", "sent"), BODIES, ids=[name for name, _ in BODIES])
def test_a_hostile_body_costs_only_its_own_request(server: WatchedServer, name: str, sent: bytes) -> None:
    """It has some answer, and the worker is the same one afterwards."""
    before = ask(server.ports[0], "POST", "/predictions/obey", b"pid").body
    with RawClient(server.ports[0]) as client:
        client.send(sent)
        ((code, _),) = client.read_answers(1)
    assert code in (200, 400, 413, 500, 503)
    assert ask(server.ports[0], "POST", "/predictions/obey", b"pid").body == before


def test_no_body_is_waited_for_longer_than_its_client(server: WatchedServer) -> None:
    """``Expect: 100-continue`` is answered, and then the body is read."""
    with RawClient(server.ports[0]) as client:
        client.send(post(b"Host: x", b"Content-Length: 3", b"Expect: 100-continue"))
        while b"\r\n\r\n" not in client.received:
            assert client.read_more()
        assert statuses(client.received) == [100]
        client.received = b""
        client.send(b"abc")
        assert client.read_answers(1) == [(200, b"abc")]
