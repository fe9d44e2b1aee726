"""Workers behind a node's agent keep the contract of backends; the agents are programs of this machine."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from datetime import datetime, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from modelserver.backends.local import LocalBackend
from modelserver.backends.ray.identity import RunIdentity
from modelserver.backends.ray.model_files import ModelFiles
from modelserver.backends.ray.node_link import DIALING, ServerLink
from modelserver.backends.ray.node_order import NodeOrder
from modelserver.backends.ray.remote_link import RemoteLink
from modelserver.backends.ray.remote_process import RemoteProcess
from modelserver.backends.ray.starter import NodeRequest
from modelserver.backends.ray.wire import TOKEN_SIZE
from modelserver.interfaces import WorkerBackend
from modelserver.jobs import SharedSlot
from modelserver.protocol.frames import FrameError
from modelserver.testing.providers import make_job
from modelserver.version_settings.values import WorkerStart
from tests.harness.backend_contract import BackendContract, RecordingEvents
from tests.harness.remote_nodes import ProgramStarter, make_remote_backend
from tests.harness.server_process import is_alive
from tests.integration.test_backends import ProcessCase

SLOW = """
import time

def handle(data, context):
    if data is None:
        return None
    print("called", flush=True)
    time.sleep(float(data[0]["body"].decode()))
    return [b"woken"]
"""


class NeverReady(ModelFiles):
    """Files that take for ever."""

    async def offer(self, link: RemoteLink, folder: Path, is_wanted: bool) -> None:
        """Begin."""
        await Deferred()


class RemoteCase(ProcessCase):
    """A backend whose agents are programs, in folders of their own."""

    silence, lost = 5.0, 30.0
    is_shared = True

    def new_backend(self, local: LocalBackend) -> WorkerBackend:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.own = Path(folder.name)
        self.starter = ProgramStarter()
        self.addCleanup(self.starter.end)
        self.slots = memoryview(bytearray(1 << 20))
        backend = make_remote_backend(self.starter, self.own, self.silence, self.lost, self.slots)
        self.addCleanup(backend.close)
        if not self.is_shared:
            # As a node sees it that has another file system.
            backend._probe = {"path": str(self.own / "nowhere"), "sha256": "0" * 64}
        self.remote = backend
        (self.folder / "slow.py").write_text(SLOW)
        return backend

    async def launched(self, handler: str) -> tuple[RecordingEvents, RemoteProcess]:
        """A worker of this handler that has loaded."""
        events = RecordingEvents()
        process = self.backend.launch(events, self._spec(handler, "9000"))
        assert isinstance(process, RemoteProcess)
        await events.when(lambda: "loaded" in events.told)
        return events, process

    async def until_gone(self, pid: int) -> None:
        """Wait for the end of a process."""
        while is_alive(pid):
            await deferLater(reactor, 0.02)


class SharedFilesTests(RemoteCase, BackendContract):
    """The contract, where a node sees the server's files."""

    __test__ = True

    async def test_files_are_used_where_they_are(self) -> None:
        events, process = await self.launch()
        self.assertFalse((self.own / "cache").exists())
        await self.end(events, process)

    async def test_body_in_shared_memory_is_sent(self) -> None:
        events, process = await self.launch()
        self.slots[100:300_100] = b"s" * 300_000
        process.send(1, [make_job(SharedSlot(100, 300_000)), make_job(b"plain")])
        process.flush()
        await events.when(lambda: bool(events.answers))
        bodies = [bytes(answer.body) for answer in events.answers[0][1] if isinstance(answer, tuple)]
        self.assertEqual([b"s" * 300_000, b"plain"], bodies)
        await self.end(events, process)

    async def test_place_and_process_are_told(self) -> None:
        _, process = await self.launch()
        place = process.place
        assert place is not None
        self.assertEqual(("node-0", "127.0.0.1", process.pid), (place.node, place.address, place.pid))
        process.kill("exit")

    async def test_cluster_that_cannot_be_joined_is_the_reason(self) -> None:
        self.starter.refusal = "there is no token"
        events = RecordingEvents()
        self.backend.launch(events, self.echo_spec("9000"))
        await events.when(lambda: events.is_over)
        (failure,) = events.failures
        self.assertEqual(("launch", "there is no token"), (failure.cause, failure.text))

    async def test_nothing_is_started_for_a_worker_that_is_killed_at_once(self) -> None:
        events = RecordingEvents()
        self.backend.launch(events, self.echo_spec("9000")).kill("startup timeout")
        await events.when(lambda: events.is_over)
        self.assertEqual([], self.starter.requests)

    async def test_agent_that_still_dials_ends_with_whoever_started_it(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = ("127.0.0.1", silent.getsockname()[1])
            order = NodeOrder(address, self.remote.certificate, b"t" * TOKEN_SIZE, 5.0, "cache", 1)
            request = NodeRequest("w", "m/1", {}, "spread", order.to_line())
            handle = self.starter.start(request, _NoNews())
            with (await deferToThread(silent.accept))[0]:
                assert handle.process.stdin is not None
                handle.process.stdin.close()
                handle.process.stdin = None
                # The handshake would have been waited for twice as long.
                await deferToThread(handle.process.wait, DIALING / 2)

    async def test_killed_worker_is_a_signal(self) -> None:
        events, process = await self.launched("slow.py")
        process.send(1, [make_job(b"30")])
        process.flush()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSEGV)
        await events.when(lambda: events.is_over)
        self.assertEqual(("signal", "SIGSEGV"), (events.failures[0].cause, events.failures[0].signal))

    async def test_killed_agent_takes_its_worker_along(self) -> None:
        events, process = await self.launch()
        pid = process.pid
        assert pid is not None
        self.starter.handles[0].process.kill()
        await events.when(lambda: events.is_over)
        self.assertEqual("node", events.failures[0].cause)
        await self.until_gone(pid)

    async def test_worker_ends_with_whoever_started_its_agent(self) -> None:
        events, process = await self.launch()
        pid = process.pid
        assert pid is not None
        self.starter.handles[0].cancel()
        await events.when(lambda: events.is_over)
        await self.until_gone(pid)


class FetchedFilesTests(RemoteCase, BackendContract):
    """The contract, where a node does not see the server's files."""

    __test__ = True
    is_shared = False

    async def test_files_are_fetched_once_for_all_workers_of_a_node(self) -> None:
        first, second = RecordingEvents(), RecordingEvents()
        processes = [self.backend.launch(events, self.echo_spec("9000")) for events in (first, second)]
        for events in (first, second):
            await events.when(lambda events=events: "loaded" in events.told)  # type: ignore[misc]
        kept = [path for path in (self.own / "cache").iterdir() if path.is_dir()]
        self.assertEqual(1, len(kept))
        self.assertEqual((self.folder / "echo.py").read_text(), (kept[0] / "echo.py").read_text())
        for events, process in zip((first, second), processes, strict=True):
            await self.end(events, process)

    async def test_requirements_of_the_server_are_not_on_the_node(self) -> None:
        spec = self.echo_spec("9000")
        spec = evolve(spec, version=evolve(spec.version, start=WorkerStart(search_path=("/some/where",))))
        events = RecordingEvents()
        self.backend.launch(events, spec)
        await events.when(lambda: events.is_over)
        self.assertEqual("launch", events.failures[0].cause)
        self.assertIn("requirements", events.failures[0].text or "")

    async def test_node_that_asks_again_before_it_was_answered_is_ended(self) -> None:
        events, process = await self.launch()
        assert isinstance(process, RemoteProcess)
        link = process._link
        assert link is not None
        self.remote.files = NeverReady(self.own, self.remote.files.in_thread)
        process.offer_files(link, False)
        self.assertRaises(FrameError, process.offer_files, link, False)
        await self.end(events, process)

    async def test_folder_that_cannot_be_written_is_the_reason(self) -> None:
        (self.own / "file").write_text("no folder")
        self.remote.cache = str(self.own / "file" / "cache")
        events = RecordingEvents()
        self.backend.launch(events, self.echo_spec("9000"))
        await events.when(lambda: events.is_over)
        self.assertEqual("launch", events.failures[0].cause)
        self.assertIn("NotADirectoryError", events.failures[0].text or "")


class SilenceTests(RemoteCase):
    """A node of which nothing is heard for a while: its agent is stopped, as if the cable were pulled."""

    __test__ = True
    silence, lost = 0.5, 20.0

    async def test_late_answer_is_dropped_and_the_next_one_is_not(self) -> None:
        events, process = await self.launched("slow.py")
        process.send(1, [make_job(b"0.0")])
        agent = self.starter.handles[0].process.pid
        os.kill(agent, signal.SIGSTOP)
        process.flush()
        await events.when(lambda: "went_silent" in events.told)
        os.kill(agent, signal.SIGCONT)
        await events.when(lambda: "heard_again" in events.told)
        process.send(2, [make_job(b"0.0")])
        process.flush()
        await events.when(lambda: bool(events.answers))
        self.assertEqual([2], [number for number, _ in events.answers])
        self.assertFalse(events.is_over)
        process.stop()
        await events.when(lambda: events.is_over)


class LossTests(RemoteCase):
    """A node of which nothing is heard any more."""

    __test__ = True
    silence, lost = 0.3, 1.0

    async def test_silence_that_lasts_is_the_end_on_both_sides(self) -> None:
        events, process = await self.launched("slow.py")
        agent, pid = self.starter.handles[0].process.pid, process.pid
        assert pid is not None
        os.kill(agent, signal.SIGSTOP)
        # The handle is given up, and waits for the agent: let it run on when that is due.
        process.handle = None
        await events.when(lambda: events.is_over)
        self.assertIn("went_silent", events.told)
        self.assertEqual("silence", events.failures[0].cause)
        os.kill(agent, signal.SIGCONT)
        await self.until_gone(pid)


class HostileConnectionTests(RemoteCase):
    """Who dials without a token gets nothing, and nothing of it is read."""

    __test__ = True

    def dial(self, certificate: str, token: bytes) -> ServerLink:
        """Dial the server as an agent does; its handshake needs the reactor, so in a thread."""
        return ServerLink.dial(self.address, certificate, token)

    def setUp(self) -> None:
        super().setUp()
        self.address = self.remote.listener.listen("127.0.0.1")

    async def test_token_that_is_not_known_ends_the_connection(self) -> None:
        link = await deferToThread(self.dial, self.remote.certificate, b"x" * TOKEN_SIZE)
        self.assertEqual(b"", await deferToThread(_rest, link))

    async def test_token_is_good_once(self) -> None:
        taken: list[object] = []
        self.remote.listener.expect(b"t" * TOKEN_SIZE, taken.append)
        first = await deferToThread(self.dial, self.remote.certificate, b"t" * TOKEN_SIZE)
        second = await deferToThread(self.dial, self.remote.certificate, b"t" * TOKEN_SIZE)
        self.assertEqual(b"", await deferToThread(_rest, second))
        self.assertEqual(1, len(taken))
        first.stream.close()
        for stream in taken:
            stream.close()  # type: ignore[attr-defined]  # they are streams

    async def test_server_with_another_certificate_is_refused_by_nodes(self) -> None:
        other = RunIdentity.make(datetime.now(timezone.utc)).certificate
        await self.assertFailure(deferToThread(self.dial, other, b"x" * TOKEN_SIZE), ssl.SSLError)

    async def test_plain_bytes_are_no_handshake(self) -> None:
        with socket.create_connection(self.address, 5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            await deferToThread(_until_closed, connection)

    async def test_older_versions_of_tls_are_refused(self) -> None:
        await self.assertFailure(deferToThread(_dial_old, self.address), OSError)


class _NoNews:
    """Takes what is told of an agent."""

    def waits(self, reason: str) -> None: ...
    def placed(self, node: str, address: str, group: str, reason: str) -> None: ...
    def not_started(self, reason: str) -> None: ...


def _rest(link: ServerLink) -> bytes:
    link.socket.setblocking(True)
    link.socket.settimeout(10)
    found = bytearray(100)
    try:
        return bytes(found[: link.stream.recv_into(memoryview(found))])
    except ConnectionError:
        return b""


def _until_closed(connection: socket.socket) -> None:
    connection.settimeout(10)
    try:
        while connection.recv(1000):
            pass
    except ConnectionError:
        pass


def _dial_old(address: tuple[str, int]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(address, 5) as connection, context.wrap_socket(connection):
        pass
