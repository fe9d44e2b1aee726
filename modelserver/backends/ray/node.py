"""
The agent of one worker on its node: starts it, and stands between it and the server. It needs no Ray.

It reads one line of JSON from its standard input, and ends when that closes: whoever started it is gone.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import NoReturn

from modelserver.backends.ray.node_files import FileCache
from modelserver.backends.ray.node_link import ServerLink
from modelserver.backends.ray.node_order import NodeOrder
from modelserver.backends.ray.node_process import NodeWorker
from modelserver.backends.ray.node_setup import NodeSetup
from modelserver.backends.ray.node_usage import Look, gpu_of, to_document
from modelserver.backends.ray.wire import FIRST_FOR_NODES, NodeKind
from modelserver.metrics.process_memory import tree_memory
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame, FrameError
from modelserver.system.oom_kills import OomDetector, find_counter

USAGE_EVERY = 5.0
"""Seconds between two reports of the worker's memory."""
LAST_WORDS = 5.0
"""Seconds that the server has to read what was left to say."""
OUTPUT_WAIT = 0.5
"""Seconds for which pipes are read after the worker's end, while something that it started holds them."""
MOST_UNSENT = 1 << 22
"""Bytes on their way to the server from which on the worker has to wait."""
_LARGEST_READ = 1 << 14


class Agent:
    """Relays between the server and one worker until one of them, or whoever started it, is gone."""

    def __init__(self, order: NodeOrder, link: ServerLink, starter: int | None) -> None:
        self._link = link
        self._silence = order.silence
        link.stream.outlast(order.silence)
        self._starter = starter
        self._selector = selectors.DefaultSelector()
        self._interest: dict[socket.socket | int, int] = {}
        self._then: dict[socket.socket | int, Callable[[], object]] = {}
        self._setup = NodeSetup(FileCache(cache_folder(order.cache), order.cache_size), link.send_json)
        self._worker: NodeWorker | None = None
        self._reader = FrameReader()
        self._outputs: dict[int, int] = {}
        self._is_reading = False
        self._ends_at: float | None = None
        self._usage_at = 0.0
        self._gpu: Look = lambda: None
        self._oom = OomDetector(find_counter())
        self._actions: dict[NodeKind, Callable[[Frame], None]] = {
            NodeKind.START: self._start,
            NodeKind.OFFER: lambda frame: self._setup.offered(frames.unpack_json(frame)),
            NodeKind.FILES: lambda frame: self._setup.arrived(frame.payload, bool(frame.items)),
            NodeKind.SIGNAL: self._signal,
            NodeKind.END_INPUT: lambda frame: self._end_input(),
            NodeKind.PROBE: lambda frame: self._link.echo(frame.number),
        }

    def run(self) -> None:
        """Work until the end of one of the three."""
        self._watch(self._link.socket, self._hear)
        if self._starter is not None:
            self._watch(self._starter, self._starter_closed)
        try:
            while self._turn():
                pass
        except (OSError, FrameError, EOFError) as error:
            print(f"The link to the server is over: {error}", file=sys.stderr)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.signal(signal.SIGKILL)

    def _watch(self, what: socket.socket | int, then: Callable[[], object]) -> None:
        self._then[what] = then
        self._modify(what, selectors.EVENT_READ)

    def _turn(self) -> bool:
        """Wait for something, and see to it; return whether there is more to do."""
        self._set_interest()
        for key, events in self._selector.select(self._patience()):
            if events & selectors.EVENT_WRITE:
                self._write_on(key.fileobj)
            if events & selectors.EVENT_READ and key.fileobj in self._then:  # it may have ended meanwhile
                key.data()
        now = time.monotonic()
        self._link.show_life(now)
        if now - self._link.heard > self._silence:
            raise EOFError("the server is silent")
        if self._ends_at is not None and now >= self._ends_at:
            return False
        if self._setup.is_waiting:
            self._advance()
        if self._worker is not None and self._ends_at is None and now >= self._usage_at:
            self._usage_at = now + USAGE_EVERY
            pid = self._worker.pid
            self._link.send_json(NodeKind.USAGE, to_document(tree_memory(pid), pid, self._gpu()))
        return True

    def _patience(self) -> float:
        if self._setup.is_waiting:
            return 0.05
        if self._ends_at is not None:
            return max(0.0, self._ends_at - time.monotonic())
        return min(1.0, self._silence / 4)

    def _set_interest(self) -> None:
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        wanted = both if self._link.stream.has_backlog else selectors.EVENT_READ
        self._modify(self._link.socket, wanted)
        # A worker that answers or prints faster than the network takes it has to wait.
        wanted = 0 if self._link.stream.backlog > MOST_UNSENT else selectors.EVENT_READ
        for output in self._outputs:
            self._modify(output, wanted)
        if self._worker is not None and self._is_reading:
            if self._worker.has_unsent:
                wanted |= selectors.EVENT_WRITE
            self._modify(self._worker.connection, wanted)

    def _modify(self, what: socket.socket | int, wanted: int) -> None:
        known = self._interest.get(what, 0)
        if wanted == known:
            return
        self._interest[what] = wanted
        if not known:
            self._selector.register(what, wanted, self._then[what])
        elif not wanted:
            self._selector.unregister(what)
        else:
            self._selector.modify(what, wanted, self._then[what])

    def _watch_no_more(self, what: socket.socket | int) -> None:
        self._modify(what, 0)
        del self._interest[what], self._then[what]

    def _write_on(self, what: object) -> None:
        if what is self._link.socket:
            self._link.stream.flush()
        elif self._worker is not None:
            self._worker.flush()

    # What comes from the server, and from whoever started this process.

    def _hear(self) -> None:
        for frame in self._link.receive():
            if frame.kind < FIRST_FOR_NODES:
                self._pass_on(frame)
                continue
            try:
                action = self._actions[NodeKind(frame.kind)]
            except (KeyError, ValueError):
                raise frames.unexpected(frame.kind) from None
            action(frame)

    def _pass_on(self, frame: Frame) -> None:
        if self._worker is not None:
            self._worker.write([self._link.whole(frame)])

    def _starter_closed(self) -> None:
        assert self._starter is not None
        if not os.read(self._starter, 1024):
            raise EOFError("whoever started this process is gone")

    def _signal(self, frame: Frame) -> None:
        if self._worker is not None:
            self._worker.signal(frame.number)
        else:
            self._not_started("it was ended before its process was started", frame.number)

    def _end_input(self) -> None:
        if self._worker is not None:
            self._worker.end_input()
            self._worker.signal(signal.SIGTERM)
        else:
            self._not_started("it was ended before its process was started", signal.SIGTERM)

    def _not_started(self, why: str, number: int | None = None) -> None:
        self._setup.end()
        self._link.send_json(NodeKind.NOT_STARTED, {"text": why, "signal": number})
        self._ends_at = time.monotonic() + LAST_WORDS

    # The worker.

    def _start(self, frame: Frame) -> None:
        start = frames.unpack_json(frame)
        if start.get("has_gpu"):
            self._gpu = gpu_of(os.environ)
        self._setup.begin(start)

    def _advance(self) -> None:
        """Start the worker, if all that it needs is here."""
        try:
            ready = self._setup.advance()
            if ready is None:
                return
            command, environment, load, largest = ready
            worker = self._worker = NodeWorker.spawn(command, environment)
        except Exception as error:  # the disk, the files: the server is told
            self._not_started(f"{type(error).__name__}: {error}")
            return
        self._reader = FrameReader(largest)
        self._is_reading = True
        self._watch(worker.connection, self._relay)
        for number, output in enumerate(worker.outputs, 1):
            self._outputs[output] = number
            self._watch(output, partial(self._take_output, output))
        self._watch(worker.watch, self._has_exited)
        self._usage_at = time.monotonic() + 1.0
        self._link.send_json(NodeKind.SPAWNED, {"pid": worker.pid, "host": socket.gethostname()})
        worker.write([load])

    def _relay(self) -> None:
        """Pass on what the worker has written, as long as there is more."""
        assert self._worker is not None
        try:
            received = self._reader.fill(self._worker.connection)
        except BlockingIOError:
            return
        except OSError:
            received = 0
        pieces: frames.Pieces = []
        problem: FrameError | None = None
        try:
            for frame in self._reader:
                if frame.kind >= FIRST_FOR_NODES:
                    raise frames.unexpected(frame.kind)
                pieces.append(self._reader.whole(frame))
        except FrameError as error:
            problem = error
        self._link.stream.write(pieces)
        if problem is not None:
            self._link.send_json(NodeKind.EXITED, {"problem": str(problem)})
            self.kill()
        if problem is not None or not received:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._is_reading and self._worker is not None:
            self._is_reading = False
            self._watch_no_more(self._worker.connection)

    def _take_output(self, output: int) -> bool:
        """Pass on lines; return whether there may be more now."""
        try:
            data = os.read(output, _LARGEST_READ)
        except BlockingIOError:
            return False
        if not data:
            self._watch_no_more(output)
            os.close(output)
            del self._outputs[output]
            return False
        header = frames.pack_header(len(data), NodeKind.OUTPUT, 0, 0, self._outputs[output])
        self._link.stream.write([header, data])
        return True

    def _has_exited(self) -> None:
        worker = self._worker
        assert worker is not None
        self._watch_no_more(worker.watch)
        while self._is_reading and _is_readable(worker.connection):
            self._relay()
        self._stop_reading()
        code, number = worker.reap()
        until = time.monotonic() + OUTPUT_WAIT
        while self._outputs and time.monotonic() < until:
            taken = [self._take_output(output) for output in list(self._outputs)]
            if self._outputs and not any(taken):
                time.sleep(0.01)
        lacked = number == signal.SIGKILL and not worker.killed and self._oom.take_new_kills()
        self._link.send_json(NodeKind.EXITED, {"code": code, "signal": number, "out_of_memory": lacked})
        self._ends_at = time.monotonic() + LAST_WORDS


def _is_readable(connection: socket.socket) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        return bool(selector.select(0))


def cache_folder(name: str) -> Path:
    """Return where models are kept on this node: each user's apart, unless it is told exactly."""
    return Path(name) if os.path.isabs(name) else Path(gettempdir()) / f"{name}-{os.getuid()}"


def main() -> NoReturn:
    """Run an agent; see the module."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = NodeOrder.read(sys.stdin.buffer.readline())
    code = 0
    try:
        link = ServerLink.dial(order.address, order.certificate, order.token, sys.stdin.fileno())
    except OSError as error:
        print(
            f"The server at {order.address[0]}:{order.address[1]} cannot be reached: {error}", file=sys.stderr
        )
        code = 1
    else:
        Agent(order, link, sys.stdin.fileno()).run()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
