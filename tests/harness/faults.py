"""What tests of faults share: one server for a module, raw connections, and a watch over the reactor."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import define, field

from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually
from tests.harness.watched_server import PROGRAM, VARIABLE, Turns

OBEY = '''
import json
import os
import signal
import subprocess
import sys
import time

from modelserver.protocol import frames
from modelserver.protocol.answer_rows import pack_answers
from modelserver.protocol.frame_stream import send_all
from modelserver.child.data import answers


def handle(data, context):
    if data is None:
        return None
    return [obey(row.get("body") or row.get("data") or b"", context) for row in data]


def obey(order, context):
    if not isinstance(order, (bytes, bytearray)):
        return {"got": type(order).__name__}
    word, _, rest = bytes(order).decode("utf-8", "replace").partition(" ")
    action = ORDERS.get(word)
    return action(rest) if action else bytes(order)


def note(path):
    """Leave a trace; whether it is the first one."""
    is_first = not os.path.exists(path)
    with open(path, "a") as file:
        file.write(f"{os.getpid()}\\n")
    return is_first


def forked(code):
    pid = os.fork()
    if not pid:
        sys.exit(int(code))
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def interrupted(rest):
    process = subprocess.Popen(["sleep", "600"])
    process.send_signal(signal.SIGINT)
    return str(process.wait())


def once_then(action):
    def obeyed(rest):
        path, _, more = rest.partition(" ")
        if note(path):
            action(more)
        return "second"
    return obeyed


def flood(rest):
    size, _, ending = rest.partition(" ")
    piece = (b"x" * 65535 + (b"\\n" if ending == "lines" else b"x"))
    for _ in range(int(size) // 65536):
        os.write(1, piece)
    return "flooded"


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return "went on"


def noted_wait(rest):
    path, _, until = rest.partition(" ")
    note(path)
    return wait_for(until)


def child(path):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(path, "w") as file:
        file.write(str(process.pid))
    return "started"


LEAVE = """
import subprocess, sys
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open(sys.argv[1], "w").write(str(left.pid))
"""


def leave(path):
    subprocess.run([sys.executable, "-c", LEAVE, path])
    return "left"


def orphan(rest):
    subprocess.run("(sleep 0.1 &) ; exit 0", shell=True)
    return "left"


def deaf(rest):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def eat(size):
    held = bytearray(int(size))
    for at in range(0, len(held), 4096):
        held[at] = 1
    time.sleep(600)


def kept_for(seconds):
    time.sleep(float(seconds))
    return "kept"


def own_socket():
    return next(int(name) for name in os.listdir("/proc/self/fd") if name_of(name).startswith("socket:"))


def write_socket(text):
    os.write(own_socket(), bytes.fromhex(text))
    time.sleep(600)


def answer(shift):
    """Answer the present batch, or another, behind the back of the worker's loop."""
    frame = sys._getframe()
    while not hasattr(frame.f_locals.get("self"), "_outbox"):
        frame = frame.f_back
    loop = frame.f_locals["self"]
    rows = answers.answer_rows(["first"], loop._batch.made_processors(), 1000)
    number = loop._batch.number + int(shift)
    send_all(loop._model.connection, pack_answers(frames.ANSWERS, number, 0.0, rows))
    return "second"


def name_of(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


def all_descriptors(rest):
    names = {name: name_of(name) for name in os.listdir("/proc/self/fd")}
    return json.dumps({name: target for name, target in names.items() if target})


ORDERS = {
    "exit": lambda code: os._exit(int(code)),
    "signal": lambda name: os.kill(os.getpid(), getattr(signal, name)) or time.sleep(600),
    "exit-once": once_then(lambda code: os._exit(int(code))),
    "hang": lambda path: note(path) and time.sleep(600),
    "pid": lambda rest: str(os.getpid()),
    "flood": flood,
    "wait": wait_for,
    "noted-wait": noted_wait,
    "child": child,
    "leave": leave,
    "orphan": orphan,
    "deaf": deaf,
    "eat": eat,
    "sleep": kept_for,
    "answer": answer,
    "close": lambda rest: os.close(own_socket()) or time.sleep(600),
    "write": write_socket,
    "descriptors": all_descriptors,
    "environment": lambda name: os.environ.get(name, "-"),
    "quit": sys.exit,
    "forked": forked,
    "interrupted": interrupted,
    "raise": lambda text: (_ for _ in ()).throw(ValueError(text)),
    "wrong": lambda rest: object(),
    "big": lambda size: b"x" * int(size),
    "stderr": lambda text: sys.stderr.write(text + "\\n") and os._exit(9),
}
'''
LONGEST_TURN = 0.05
"""Seconds of CPU time that the reactor may work without coming round, whatever clients send."""
_PACKER = ServerTests("add_model")


@define(eq=False)
class WatchedServer(ServerProcess):
    """
    A server that tells how long its reactor's turns were.

    :param turns: all since it was started, or since somebody said to forget them.
    """

    turns: Turns = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.turns = Turns(self.folder / "turns")
        self.program = (str(PROGRAM),)
        self.environment = {**self.environment, VARIABLE: str(self.turns.path)}


@contextmanager
def serving(
    models: Mapping[str, str] | None = None,
    properties: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    has_rpc: bool = False,
) -> Iterator[WatchedServer]:
    """A server with archives in its store, with gRPC or without; it is ended, and its folder removed."""
    with TemporaryDirectory(prefix="modelserver-faults-") as name:
        server = WatchedServer(
            Path(name), dict(properties or {}), environment=dict(environment or {}), has_rpc=has_rpc
        )
        server.store.mkdir()
        for model, source in (models or {}).items():
            _PACKER.add_model(server, model, source)
        server.start()
        try:
            yield server
        finally:
            server.end()


@define(eq=False)
class RawClient:
    """A connection that says whatever it is told to, and reads until it is closed."""

    port: int
    connection: socket.socket = field(init=False)
    received: bytes = field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        self.connection = socket.create_connection((HOST, self.port), timeout=LONGEST)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()

    def send(self, data: bytes) -> bool:
        """Send; whether the server still took it."""
        try:
            self.connection.sendall(data)
        except OSError:
            return False
        return True

    def read_more(self) -> bool:
        """Read what comes next; whether the connection goes on."""
        try:
            data = self.connection.recv(1 << 16)
        except ConnectionError:
            return False
        self.received += data
        return bool(data)

    def read_to_end(self) -> bytes:
        """
        Everything until the server closes.

        :raises TimeoutError: it does not.
        """
        while self.read_more():
            pass
        return self.received

    def read_answers(self, count: int) -> list[tuple[int, bytes]]:
        """So many answers with a content-length: their codes and bodies."""
        answers: list[tuple[int, bytes]] = []
        rest = self.received
        while len(answers) < count:
            head, found, body = rest.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head.lower()) if found else None
            if length is not None and len(body) >= int(length[1]):
                size = int(length[1])
                answers.append((int(head.split(b" ")[1]), body[:size]))
                rest = body[size:]
                continue
            before = len(self.received)
            assert self.read_more(), self.received[-500:]
            rest += self.received[before:]
        return answers


def statuses(received: bytes) -> list[int]:
    """The codes of all answers in a stream, in order."""
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@contextmanager
def watching(server: WatchedServer) -> Iterator[None]:
    """
    See that the reactor is never away for longer than ``LONGEST_TURN`` meanwhile.

    :raises AssertionError: it was.
    """
    server.turns.forget()
    yield
    # The turn that has sent the last answer is measured when the reactor comes round again.
    seen = server.turns.count
    eventually(lambda: server.turns.count >= seen + 2)
    longest = server.turns.longest
    assert longest <= LONGEST_TURN, f"the reactor worked for {longest:.3f} s without coming round"


def few_descriptors(count: int) -> str:
    """What a program begins with that may have so many."""
    return f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({count}, {count})); "
