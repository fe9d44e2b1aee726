"""Workers as processes of this machine: spawned, with one inherited socketpair each."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from attrs import define, field, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

import modelserver
from modelserver import frames
from modelserver.backends.link import Link, socket_pair
from modelserver.backends.output import LineLog
from modelserver.errors import WorkerFailure
from modelserver.frames import Frame
from modelserver.interfaces import EventLoop, WorkerEvents, WorkerProcess
from modelserver.jobs import Job
from modelserver.spec import WorkerSettings, WorkerSpec

_log = Logger()

SOCKET_FD, LIFELINE_FD = 3, 4
SOCKET_BUFFER = 1 << 21
LAST_WAIT = 0.5
"""Seconds that a worker may live on after it closed its socket."""
OUT_OF_MEMORY, OOM_EXIT = 507, 137
_ROOT = str(Path(modelserver.__file__).parent.parent)
_START = (
    "import sys; sys.path.pop(0); sys.path.append(sys.argv.pop(1)); "
    "from modelserver.child.main import main; main()"
)


@frozen
class Machine:
    """
    What local workers need of the process around them.

    :param lifeline: the read end of a pipe whose write end the server holds until it ends.
    :param environment: what workers inherit.
    :param now: seconds since the epoch.
    """

    spawner: IReactorProcess
    loop: EventLoop
    clock: IReactorTime
    lifeline: int
    environment: Mapping[str, str]
    now: Callable[[], float]


def load_document(spec: WorkerSpec, settings: WorkerSettings) -> dict[str, object]:
    """What a worker process is told to load, as JSON."""
    version = spec.version
    return {
        "name": version.name,
        "version": version.version,
        "folder": str(version.folder),
        "handler": version.handler,
        "envelope": version.envelope,
        "manifest": version.manifest,
        "config": dict(version.config),
        "batch_size": version.batch_size,
        "gpu_id": spec.gpu_id,
        "worker": spec.id,
        "search_path": list(version.search_path),
        "dialect": settings.dialect,
        "decode_input_request": settings.decode_input_request,
        "limit_max_image_pixels": settings.limit_max_image_pixels,
        "max_response_size": settings.max_response_size,
        "metrics_config": settings.metrics_config,
    }


def worker_environment(
    spec: WorkerSpec, settings: WorkerSettings, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a worker: inherited without the hidden names, and what the peers add."""
    hidden = re.compile(settings.hidden_variables) if settings.hidden_variables else None
    environment = {
        name: value for name, value in inherited.items() if hidden is None or not hidden.fullmatch(name)
    }
    decode = "true" if settings.decode_input_request else "false"
    environment["MMS_DECODE_INPUT_REQUEST" if settings.dialect == "mms" else "TS_DECODE_INPUT_REQUEST"] = (
        decode
    )
    environment["PYTHONUNBUFFERED"] = "1"
    if settings.dialect == "mms":
        environment.setdefault("OMP_NUM_THREADS", "1")
    if spec.visible_devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, spec.visible_devices))
    return environment


@define(eq=False)
class LocalBackend:
    """Starts worker processes with ``spawner``."""

    machine: Machine
    settings: WorkerSettings

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Spawn a worker."""
        ours, theirs = socket_pair(SOCKET_BUFFER)
        process = LocalProcess(events, spec, self.machine)
        process.link = Link(ours, self.machine.loop, process)
        try:
            self._spawn(process, spec, theirs)
        except Exception as error:
            _log.failure("Worker {worker} could not be launched", worker=spec.id)
            process.link.close()
            failure = WorkerFailure("launch", self.machine.now(), text=str(error))
            self.machine.loop.call_soon(lambda: events.exited(failure))
        else:
            process.link.open()
            process.link.send(frames.pack_json(frames.LOAD, load_document(spec, self.settings)))
        finally:
            theirs.close()
        return process

    def _spawn(self, process: LocalProcess, spec: WorkerSpec, theirs: socket.socket) -> None:
        python = spec.version.python or self.settings.python or sys.executable
        transport = self.machine.spawner.spawnProcess(
            process.protocol,
            python,
            [python, "-c", _START, _ROOT, f"{spec.version.name}/{spec.version.version}/{spec.id}"],
            env=worker_environment(spec, self.settings, self.machine.environment),
            childFDs={0: "w", 1: "r", 2: "r", SOCKET_FD: theirs.fileno(), LIFELINE_FD: self.machine.lifeline},
        )
        spawned = cast(Spawned, transport)
        spawned.closeChildFD(0)
        process.launched(spawned)

    def retire(self, name: str, version: str) -> None:
        """Nothing is kept for a version."""


class Spawned(Protocol):
    """What is used of Twisted's process transport."""

    pid: int

    def closeChildFD(self, descriptor: int) -> None: ...
    def reapProcess(self) -> None: ...


class _Protocol(ProcessProtocol):
    """Twisted's view of a worker process."""

    def __init__(self, process: LocalProcess) -> None:
        self._process = process

    def outReceived(self, data: bytes) -> None:
        self._process.stdout.data_received(data)

    def errReceived(self, data: bytes) -> None:
        self._process.stderr.data_received(data)

    def processExited(self, reason: Failure) -> None:
        self._process.process_exited(reason)

    def processEnded(self, reason: Failure) -> None:
        self._process.stdout.ended()
        self._process.stderr.ended()


@define(eq=False)
class LocalProcess:
    """One spawned worker: its process group, its link, and what it printed last."""

    events: WorkerEvents
    spec: WorkerSpec
    machine: Machine
    link: Link = field(init=False)
    protocol: _Protocol = field(init=False)
    stdout: LineLog = field(init=False)
    stderr: LineLog = field(init=False)
    _cause: str | None = field(default=None, init=False)
    _load_failure: Mapping[str, object] | None = field(default=None, init=False)
    _problem: str | None = field(default=None, init=False)
    _gone: bool = field(default=False, init=False)
    _pid: int | None = field(default=None, init=False)
    _watch: int | None = field(default=None, init=False)
    _last_wait: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.protocol = _Protocol(self)
        self.stdout = LineLog(lambda line: self._tell("stdout", line))
        self.stderr = LineLog(lambda line: self._tell("stderr", line))

    def _tell(self, stream: str, line: str) -> None:
        version = self.spec.version
        _log.info(
            "{line}",
            line=line,
            stream=stream,
            model=version.name,
            version=version.version,
            worker=self.spec.id,
        )

    @property
    def pid(self) -> int | None:
        """The process id, None before it is launched and once it is gone."""
        return None if self._gone else self._pid

    def launched(self, spawned: Spawned) -> None:
        """
        The process exists: watch for its end.

        Twisted waits for SIGCHLD, which uvloop takes for itself (it sets the wakeup descriptor when it
        runs), so the kernel is asked for a descriptor of the process, where it has such.
        """
        self._pid = spawned.pid
        if hasattr(os, "pidfd_open"):
            self._watch = os.pidfd_open(spawned.pid)
            self.machine.loop.add_reader(self._watch, lambda: self._ended(spawned))

    def _ended(self, spawned: Spawned) -> None:
        self._stop_watching()
        if spawned.pid is not None:
            spawned.reapProcess()

    def _stop_watching(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            self.machine.loop.remove_reader(watch)
            os.close(watch)

    def send(self, number: int, jobs: Sequence[Job]) -> None:
        """Hand over a batch at the next ``flush``."""
        self.link.send_batch(number, jobs)

    def flush(self) -> None:
        """Write what was handed over."""
        self.link.flush()

    def cancel(self, number: int, index: int) -> None:
        """Tell a streaming handler that the client of one job left."""
        self.link.send(frames.pack_bare(frames.CANCEL, number, index))

    def stop(self) -> None:
        """End of input, and TERM for a handler that does not look."""
        self._cause = self._cause or "exit"
        self.link.close()
        self._signal(signal.SIGTERM)

    def kill(self, cause: str) -> None:
        """KILL the process group."""
        self._cause = cause
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        pid = self.pid
        if pid is None:
            return
        # The child makes its own group as its first act; before that, only it can be meant.
        if not self._signal_group(number):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _signal_group(self, number: int) -> bool:
        """Signal everybody in the worker's group; whether there was anybody."""
        try:
            os.killpg(self._pid or 0, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    # What the link reports.

    def frame_arrived(self, frame: Frame) -> None:
        """Translate a frame to an event."""
        if frame.kind == frames.ANSWERS:
            self.events.answered(frame.number, frames.unpack_answers(frame), frame.microseconds / 1e6)
        elif frame.kind == frames.PART:
            answers = [answer for answer in frames.unpack_answers(frame) if isinstance(answer, tuple)]
            self.events.part_arrived(frame.number, answers)
        elif frame.kind == frames.METRICS:
            emitted = _listed(frames.unpack_json(frame).get("metrics"))
            self.events.counted([metric for metric in emitted if isinstance(metric, dict)])
        elif frame.kind == frames.STARTED:
            self.events.started()
        elif frame.kind == frames.LOADED:
            self.events.loaded()
        elif frame.kind == frames.LOAD_FAILED:
            self._load_failure = frames.unpack_json(frame)
        else:
            raise frames.FrameError(f"a frame of kind {frame.kind}")

    def turn_ended(self) -> None:
        """Pass it on."""
        self.events.turn_ended()

    def closed(self, problem: str | None) -> None:
        """A worker without its socket is of no use."""
        if problem is not None:
            self._problem = problem
            self.kill("protocol")
        elif not self._gone:
            # Most often the process is ending, and its exit status will tell more.
            self._last_wait = self.machine.clock.callLater(LAST_WAIT, self._end_mute)

    def _end_mute(self) -> None:
        self._problem = "it closed its socket and lived on"
        self.kill("protocol")

    # What Twisted reports.

    def process_exited(self, reason: Failure) -> None:
        """The process is gone: take what it still had to say, end its descendants, report."""
        self.link.drain()
        self._gone = True
        self._stop_watching()
        # What the handler had started is still in the group; the process itself is reaped, its id free.
        self._signal_group(signal.SIGKILL)
        if self._last_wait is not None and self._last_wait.active():
            self._last_wait.cancel()
        self.link.close()
        self.stderr.ended()
        self.events.exited(self._explain(reason))

    def _explain(self, reason: Failure) -> WorkerFailure:
        number = getattr(reason.value, "signal", None)
        code = getattr(reason.value, "exitCode", None)
        ended_by = None if number is None else signal.Signals(number).name
        load = self._load_failure or {}
        return WorkerFailure(
            self._cause or ("load" if load else "exit" if ended_by is None else "signal"),
            self.machine.now(),
            code,
            ended_by,
            _text(load.get("exception")),
            _text(load.get("text")) or self._problem,
            tuple(map(str, _listed(load.get("traceback")))),
            tuple(self.stderr.last),
            out_of_memory=load.get("code") == OUT_OF_MEMORY or code == OOM_EXIT,
            permanent=bool(load.get("permanent")),
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []
