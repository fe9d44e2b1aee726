"""The server's own end, and its limits: signals, connections, descriptors, memory for bodies."""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.harness.faults import OBEY, RawClient, few_descriptors, serving, statuses
from tests.harness.server_process import (
    LONGEST,
    Answer,
    ServerProcess,
    ServerTests,
    ask,
    eventually,
    is_alive,
)

pytestmark = pytest.mark.xdist_group("server faults")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ServerProcess]:
    """A server of the test's own, with the settings of its mark."""
    mark = request.node.get_closest_marker("parametrize")
    settings = {} if mark is None else request.getfixturevalue("settings")
    with serving({"obey": OBEY}, {"worker_grace": "0.5", **settings}) as started:
        assert started.register("obey.mar").status == 200
        yield started


def with_settings(**settings: str) -> pytest.MarkDecorator:
    """Run the test with these settings."""
    return pytest.mark.parametrize("settings", [settings], ids=["-".join(settings)])


class Asking:
    """A request that is given in the background."""

    def __init__(self, server: ServerProcess, order: str) -> None:
        self.answer: Answer | None = None
        self._thread = threading.Thread(target=self._ask, args=(server, order.encode()))
        self._thread.start()

    def _ask(self, server: ServerProcess, order: bytes) -> None:
        try:
            self.answer = server.predict("obey", order)
        except OSError:
            pass

    def status(self) -> int:
        """The answer's code, 0 if the connection ended without one."""
        self._thread.join(LONGEST)
        return 0 if self.answer is None else self.answer.status


@with_settings(drain_lag="1", drain_timeout="30")
def test_term_is_announced_then_everything_is_finished(
    server: ServerProcess, settings: dict[str, str]
) -> None:
    """Readiness fails first and predictions still work; in hand and queued end well; then all is gone."""
    started, gate = server.folder / "started", server.folder / "gate"
    in_hand = Asking(server, f"noted-wait {started} {gate}")
    eventually(started.exists)
    queued = [Asking(server, "fine") for _ in range(3)]
    children = server.children()
    assert ask(server.ports[0], "GET", "/health/ready").status == 200
    server.process.terminate()
    eventually(lambda: ask(server.ports[0], "GET", "/health/ready").status == 503)
    assert ask(server.ports[0], "GET", "/health/live").status == 200
    queued.append(Asking(server, "fine"))
    eventually(lambda: not _is_listening(server))
    gate.touch()
    assert [asking.status() for asking in (in_hand, *queued)] == [200] * 5
    assert server.process.wait(LONGEST) == -signal.SIGTERM  # as twistd ends by a signal
    eventually(lambda: not any(is_alive(pid) for pid in children))
    assert list(server.temporary.iterdir()) == []


def _is_listening(server: ServerProcess) -> bool:
    try:
        RawClient(server.ports[0]).connection.close()
    except OSError:
        return False
    return True


@with_settings(drain_timeout="1")
def test_the_time_to_drain_is_bounded(server: ServerProcess, settings: dict[str, str]) -> None:
    """A request that does not end is answered with an error, and the server ends."""
    started = server.folder / "started"
    endless = Asking(server, f"noted-wait {started} {server.folder}/never")
    eventually(started.exists)
    server.process.terminate()
    assert server.process.wait(LONGEST) == -signal.SIGTERM  # as twistd ends by a signal
    assert endless.status() in (500, 503)


@with_settings(drain_timeout="600")
def test_a_second_signal_ends_it_at_once(server: ServerProcess, settings: dict[str, str]) -> None:
    """However long the drain may take."""
    started = server.folder / "started"
    endless = Asking(server, f"noted-wait {started} {server.folder}/never")
    eventually(started.exists)
    children = server.children()
    server.process.terminate()
    eventually(lambda: not _is_listening(server))
    server.process.terminate()
    assert server.process.wait(LONGEST) == -signal.SIGTERM  # as twistd ends by a signal
    assert endless.status() in (0, 500, 503)
    eventually(lambda: not any(is_alive(pid) for pid in children))


def test_the_end_of_its_terminal_is_an_end_in_order(server: ServerProcess) -> None:
    """SIGHUP, as it is in Java: those in hand are answered, nothing is left, and a second one is the end."""
    started = server.folder / "started"
    waiting = Asking(server, f"noted-wait {started} {server.folder}/hung")
    eventually(started.exists)
    children = server.children()
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: not _is_listening(server))
    (server.folder / "hung").touch()
    assert waiting.status() == 200
    assert server.process.wait(LONGEST) == -signal.SIGHUP
    assert not any(is_alive(pid) for pid in children)
    assert list(server.temporary.iterdir()) == []


def test_workers_die_with_a_server_that_is_killed(server: ServerProcess) -> None:
    """Also one that is busy and looks at nothing."""
    started = server.folder / "started"
    busy = Asking(server, f"noted-wait {started} {server.folder}/never")
    eventually(started.exists)
    children = server.children()
    assert children
    os.kill(server.process.pid, signal.SIGKILL)
    eventually(lambda: not any(is_alive(pid) for pid in children))
    assert busy.status() == 0


def test_children_of_workers_die_with_a_server_that_is_killed(server: ServerProcess) -> None:
    """Those in the groups of their workers; nobody is left who could look for others."""
    file = server.folder / "child"
    assert server.predict("obey", f"child {file}".encode()).status == 200
    child = int(file.read_text())
    assert is_alive(child)
    os.kill(server.process.pid, signal.SIGKILL)
    eventually(lambda: not is_alive(child))


@with_settings(max_connections="5")
def test_connections_are_limited_and_management_is_reached(
    server: ServerProcess, settings: dict[str, str]
) -> None:
    """The one too many is told so; health and management are reached, and there is room when one leaves."""
    clients = _fill(server, 5)
    refused = ask(server.ports[0], "POST", "/predictions/obey", b"fine")
    assert (refused.status, refused.headers["connection"]) == (503, "close")
    assert refused.json()["limit"] == "max_connections"
    assert ask(server.ports[0], "GET", "/ping").status == 200
    assert server.management("GET", "/models").status == 200
    for client in clients:
        client.connection.close()
    eventually(lambda: server.predict("obey", b"fine").status == 200)


def _fill(server: ServerProcess, count: int) -> list[RawClient]:
    """So many connections that are in use."""
    clients = [RawClient(server.ports[0]) for _ in range(count)]
    for client in clients:
        client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.read_answers(1)[0][0] == 200
    return clients


def _ping(server: ServerProcess) -> int:
    with RawClient(server.ports[0]) as client:
        client.send(b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return (statuses(client.read_to_end()) or [0])[0]


@with_settings(max_connections_per_address="2")
def test_connections_of_one_address_are_limited(server: ServerProcess, settings: dict[str, str]) -> None:
    """The one too many is told so; when one leaves, there is room."""
    clients = _fill(server, 2)
    refused = ask(server.ports[0], "POST", "/predictions/obey", b"fine")
    assert (refused.status, refused.json()["limit"]) == (503, "max_connections_per_address")
    for client in clients:
        client.connection.close()
    eventually(lambda: server.predict("obey", b"fine").status == 200)


@pytest.mark.parametrize("is_shared", [False, True])
def test_descriptors_are_left_for_management(is_shared: bool) -> None:
    """
    Clients who open all connections that they can, and say nothing, keep nobody from managing the server:
    not even where management and predictions have one port.
    """
    with TemporaryDirectory(prefix="modelserver-faults-") as name:
        server = ServerProcess(Path(name), {"max_connections": "0"})
        server.program = ("-c", few_descriptors(600) + server.program[-1])
        server.is_shared = is_shared
        server.store.mkdir()
        ServerTests("add_model").add_model(server, "obey", OBEY)
        server.start()
        clients = []
        try:
            assert server.register("obey.mar").status == 200
            clients = [RawClient(server.ports[0]) for _ in range(700)]
            assert server.scale("obey", 3).status == 200
            assert ask(server.ports[0], "GET", "/ping").status == 200
            assert server.predict("obey", b"fine").status == 503
            assert psutil.Process(server.process.pid).num_fds() < 600 - 64
        finally:
            for client in clients:
                client.connection.close()
            server.end()


def test_out_of_descriptors_is_survived(server: ServerProcess) -> None:
    """At EMFILE nobody is served, and afterwards everybody is."""
    used = psutil.Process(server.process.pid).num_fds()
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 5, hard))
    clients = [RawClient(server.ports[0]) for _ in range(20)]
    eventually(lambda: psutil.Process(server.process.pid).num_fds() >= used + 4)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    for client in clients:
        client.connection.close()
    eventually(lambda: _ping_or_nothing(server) == 200)
    assert server.predict("obey", b"fine").body == b"fine"


def _ping_or_nothing(server: ServerProcess) -> int:
    try:
        return _ping(server)
    except OSError:
        return 0


@with_settings(request_memory="3000000")
def test_memory_for_bodies_is_limited(server: ServerProcess, settings: dict[str, str]) -> None:
    """A body for which there is no room is refused, and told why; when one is answered, there is room."""
    first = eventually(lambda: _client_with_room(server))
    assert first is not None
    with first, RawClient(server.ports[0]) as second:
        second.send(BODY_HEAD + b"x" * 1999000)
        answer = second.read_to_end()
        assert statuses(answer) == [503]
        assert b"request_memory" in answer
        assert b"retry-after" in answer.lower()
        first.send(b"x" * 1000)
        assert first.read_answers(1)[0][0] == 200
    eventually(lambda: not _is_refused(server))


BODY_HEAD = b"POST /predictions/obey HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"


def _client_with_room(server: ServerProcess) -> RawClient | None:
    """A client whose body has got the room; None if the one that was to be refused for it was read first."""
    client = RawClient(server.ports[0])
    client.send(BODY_HEAD + b"x" * 1999000)
    if _is_refused(server):
        return client
    client.connection.close()
    return None


def _is_refused(server: ServerProcess) -> bool:
    with RawClient(server.ports[0]) as client:
        client.connection.settimeout(0.2)
        client.send(BODY_HEAD + b"x" * 1999000)
        try:
            client.read_more()
        except TimeoutError:
            return False
        return statuses(client.received) == [503]


@with_settings(request_memory="3000000")
def test_announced_bodies_take_no_memory(server: ServerProcess, settings: dict[str, str]) -> None:
    """Clients who announce bodies and send little of them keep nobody else out."""
    clients = [RawClient(server.ports[0]) for _ in range(50)]
    for client in clients:
        client.send(BODY_HEAD + b"x" * 100)
    assert server.predict("obey", b"x" * 2_000_000).status == 200
    for client in clients:
        client.connection.close()


@with_settings(request_memory="50000000", max_connections="1200")
def test_slow_uploads_keep_within_their_memory(server: ServerProcess, settings: dict[str, str]) -> None:
    """A thousand clients who upload slowly take no more than bodies may take together; the others go on."""
    process = psutil.Process(server.process.pid)
    assert server.predict("obey", b"fine").status == 200
    before = process.memory_info().rss
    clients = [RawClient(server.ports[0]) for _ in range(1000)]
    for client in clients:
        client.send(BODY_HEAD)
    grown = []
    for _ in range(8):
        for client in clients:
            client.send(b"x" * 16_000)
        grown.append(process.memory_info().rss - before)
    assert max(grown) < 50_000_000 + 1000 * 40_000, grown
    assert server.predict("obey", b"fine").body == b"fine"
    for client in clients:
        client.connection.close()


@with_settings(response_memory="40000000", max_response_size="40000000")
def test_answers_that_nobody_reads_are_limited(server: ServerProcess, settings: dict[str, str]) -> None:
    """Of clients who do not read their answers, as many are kept as memory is meant for."""
    process = psutil.Process(server.process.pid)
    clients = [RawClient(server.ports[0]) for _ in range(5)]
    own = {client.connection.getsockname()[1] for client in clients}
    for client in clients:
        order = b"big 30000000"
        client.send(BODY_HEAD.replace(b"2000000", b"%d" % len(order)) + order)
    eventually(lambda: len(own & {each.raddr.port for each in process.net_connections() if each.raddr}) == 1)
    assert server.predict("obey", b"fine").body == b"fine"
    for client in clients:
        client.connection.close()


@with_settings(expose_errors="false")
def test_errors_without_details_have_none(server: ServerProcess, settings: dict[str, str]) -> None:
    """No path, no traceback, no text of the handler's."""
    answer = server.predict("obey", b"raise /etc/secret")
    assert "secret" not in answer.text
    answer = server.predict("obey", b"stderr /etc/secret")
    assert answer.status == 500
    assert "secret" not in answer.text


@with_settings(overload_status="429", job_queue_size="1")
def test_overload_may_have_another_status(server: ServerProcess, settings: dict[str, str]) -> None:
    """``overload_status``."""
    started, gate = server.folder / "started", server.folder / "gate"
    first = Asking(server, f"noted-wait {started} {gate}")
    eventually(started.exists)
    others = [Asking(server, "fine") for _ in range(3)]
    eventually(lambda: sum(other.answer is not None for other in others) == 2)
    gate.touch()
    assert sorted(asking.status() for asking in (first, *others)) == [200, 200, 429, 429]


def test_a_failed_model_refuses_at_once_and_is_revived_by_scaling(server: ServerProcess) -> None:
    """A model whose workers gave up takes no requests, is told by ping, and comes back when it is scaled."""
    flag = server.folder / "broken"
    source = (
        f"import os\nif os.path.exists({str(flag)!r}):\n    import no_such_module_here\n"
        "def handle(data, context):\n    return data and ['fine' for _ in data]\n"
    )
    archive = ServerTests("add_model").add_model(server, "moody", source).name
    assert server.register(archive, worker_start="spawn").status == 200
    assert server.predict("moody").body == b"fine"
    flag.touch()
    os.kill(server.pids("moody")[0], signal.SIGKILL)
    eventually(lambda: server.predict("moody").status == 503)
    refused = server.predict("moody")
    assert "no_such_module_here" in refused.text, refused.text
    assert ask(server.ports[0], "GET", "/ping").status == 500
    flag.unlink()
    assert server.scale("moody", 1).status == 200
    assert server.predict("moody").body == b"fine"
    assert ask(server.ports[0], "GET", "/ping").status == 200
