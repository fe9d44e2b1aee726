"""A process that has imported a handler's libraries, perhaps more, and forks workers from itself."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import NoReturn

from attrs import evolve

from modelserver.child.context import Context, EntryPoint
from modelserver.child.failures import LoadFailed, print_traceback
from modelserver.child.loading.loader import (
    import_handler,
    initialize,
    prepare,
)
from modelserver.child.loading.preload import LibraryClash, preload_libraries
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.loops.select import make_loop, serve
from modelserver.child.process.bootstrap import announce, die_with, end, end_with_server
from modelserver.child.process.footprint import Footprint
from modelserver.child.process.library_threads import set_library_threads, wanted_threads
from modelserver.child.process.seeds import seed_anew
from modelserver.child.process.torch_threads import TorchThreads
from modelserver.protocol import frames
from modelserver.protocol.ahead import AheadReceiver
from modelserver.protocol.descriptors import AHEAD_DESCRIPTORS, FORK_DESCRIPTORS, LIFELINE_FD
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.load_request import LoadRequest


class TemplateServer:
    """
    Loads, then forks on request, and tells the server which of its children ended, and how.

    While there is one thread, and nothing that two processes would share, a fork is a complete copy; a
    template that cannot keep to that says so (``hazards``), and the server falls back.

    With ``preload=libraries`` nothing of the archive runs before the fork. With ``imports`` and ``model``,
    what the handler's modules hold is copied: whatever stands for something outside the process (a folder,
    a generator's state, an identifier) is one for all workers.

    :param document: that of a LOAD frame, and ``preload`` (``libraries``, ``imports`` or ``model``).
    """

    def __init__(self, connection: socket.socket, document: Mapping[str, object]) -> None:
        self._receiver = _DescriptorReceiver(connection)
        self._connection = connection
        self._load_request = LoadRequest.from_document(document)
        self._preload = document["preload"]
        self._children: dict[int, int] = {}
        self._poll = select.poll()
        self._module: ModuleType | None = None
        self._function = ""
        self._loaded: tuple[EntryPoint, Context] | None = None
        self._threads = TorchThreads()

    def run(self) -> NoReturn:
        """Load and serve forks until the server closes the socket."""
        before = Footprint.taken()
        try:
            hazards = self._load()
        except LoadFailed as failure:
            self._connection.sendall(frames.pack_json(frames.LOAD_FAILED, failure.report))
            end(1)
        gc.collect()
        gc.freeze()
        hazards += before.hazards(of_libraries=self._preload == "libraries")
        self._connection.sendall(frames.pack_json(frames.LOADED, {"hazards": hazards}))
        self._serve()

    def _load(self) -> list[str]:
        """
        Load what is to be there before the forks.

        :return: why it cannot be forked, if that is known already.
        """
        request = self._load_request
        try:
            prepare(request)
            self._threads.hold()
            with _no_collection():
                if self._preload == "libraries":
                    preload_libraries(request)
                    return []
                self._module, self._function = module, function = import_handler(
                    request.handler, request.folder
                )
            if self._preload == "model":
                self._loaded = initialize(request, module, function)
        except LibraryClash as clash:
            return [str(clash)]
        except BaseException as error:  # ``sys.exit`` and panics of Rust, too
            print_traceback(error)
            raise LoadFailed.because(error) from error
        return []

    def _serve(self) -> NoReturn:
        self._poll.register(self._connection, select.POLLIN)
        reader = FrameReader()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._connection.fileno():
                    self._reap(descriptor)
                elif not reader.fill(self._receiver):
                    end_with_server(0)
            for frame in reader:
                if frame.kind != frames.FORK:
                    raise frames.unexpected(frame.kind)
                self._fork(frame.number, frames.unpack_json(frame))

    def _fork(self, number: int, order: Mapping[str, object]) -> None:
        more = AHEAD_DESCRIPTORS if order.get("ahead") else 0
        descriptors = self._receiver.take(FORK_DESCRIPTORS + more)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_worker(descriptors, order)
            except (EOFError, ConnectionError):
                end_with_server(0)
            except SystemExit as left:  # of a process that the handler has forked
                end(left.code if isinstance(left.code, int) else int(left.code is not None))
            except BaseException:
                traceback.print_exc()
            finally:
                end(1)
        for descriptor in descriptors:
            os.close(descriptor)
        watch = os.pidfd_open(pid)
        self._children[watch] = pid
        self._poll.register(watch, select.POLLIN)
        self._connection.sendall(frames.pack_json(frames.FORKED, {"pid": pid}, number))

    def _reap(self, watch: int) -> None:
        pid = self._children.pop(watch)
        self._poll.unregister(watch)
        os.close(watch)
        _, status = os.waitpid(pid, 0)
        told = {
            "pid": pid,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        }
        self._connection.sendall(frames.pack_json(frames.CHILD_EXITED, told))

    # In the child.

    def _become_worker(self, descriptors: Sequence[int], order: Mapping[str, object]) -> None:
        """Serve as a worker, from a copy of everything that the template has loaded."""
        os.setpgid(0, 0)
        die_with(LIFELINE_FD)
        for inherited in (self._connection.detach(), *self._children):
            os.close(inherited)
        link, stdout, stderr, *ahead = descriptors
        for number, output in enumerate((stdout, stderr), 1):
            os.dup2(output, number)
            os.close(output)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        connection = socket.socket(fileno=link)
        connection.sendall(frames.pack_bare(frames.STARTED))
        threads = wanted_threads()
        _set_environment(order)
        set_library_threads()
        self._threads.release(None if wanted_threads() == threads else wanted_threads())
        seed_anew(has_gpu=order.get("gpu_id") is not None)
        announce(self._load_request.dialect)
        entry, context = self._load_rest(connection, order)
        model = LoadedModel(
            connection=connection,
            reader=FrameReader(),
            request=self._load_request,
            entry=entry,
            context=context,
            ahead=AheadReceiver(*ahead) if ahead else None,
        )
        serve(make_loop(model), model)

    def _load_rest(
        self, connection: socket.socket, order: Mapping[str, object]
    ) -> tuple[EntryPoint, Context]:
        if self._loaded is not None:
            return self._loaded
        gpu_id = order.get("gpu_id")
        request = evolve(self._load_request, gpu_id=gpu_id if isinstance(gpu_id, int) else None)
        module, function = self._module, self._function
        try:
            if module is None:
                module, function = import_handler(request.handler, request.folder)
            return initialize(request, module, function)
        except BaseException as error:  # ``sys.exit`` and panics of Rust, too
            print_traceback(error)
            connection.sendall(frames.pack_json(frames.LOAD_FAILED, LoadFailed.because(error).report))
            end(1)


class _DescriptorReceiver:
    """Reads a socket's bytes, and keeps the descriptors that come with them."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._descriptors: list[int] = []

    def recv_into(self, buffer: memoryview, /) -> int:
        """Receive bytes."""
        space = socket.CMSG_SPACE((FORK_DESCRIPTORS + AHEAD_DESCRIPTORS) * 4)
        size, ancillary, _, _ = self._connection.recvmsg_into([buffer], space)
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self._descriptors += memoryview(data[: len(data) - len(data) % 4]).cast("i")
        return size

    def take(self, count: int) -> list[int]:
        """The oldest descriptors."""
        taken, self._descriptors = self._descriptors[:count], self._descriptors[count:]
        return taken


@contextmanager
def _no_collection() -> Iterator[None]:
    """What imports make is there to stay, and not looked through for garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _set_environment(order: Mapping[str, object]) -> None:
    sys.argv[1:] = [str(order["worker"])]
    changes = order.get("environment")
    for name, value in changes.items() if isinstance(changes, dict) else ():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = str(value)
