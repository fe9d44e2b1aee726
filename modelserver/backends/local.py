"""Workers as processes of this machine: spawned, with one inherited socketpair each."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.backends.frame_socket import FrameSocket, socket_pair
from modelserver.backends.orphans import OWNER
from modelserver.backends.process import HostProcess, HostServices
from modelserver.backends.worker_process import LocalProcess
from modelserver.dialect_rules import DIALECTS
from modelserver.interfaces import WorkerEvents, WorkerProcess
from modelserver.language.attributes import define
from modelserver.protocol import frames
from modelserver.protocol.ahead import AheadSender
from modelserver.protocol.descriptors import (
    FIRST_RANK_FD,
    KEPT_FD,
    LIFELINE_FD,
    OFFERS_FD,
    SLOTS_FD,
    SOCKET_FD,
)
from modelserver.protocol.load_request import LoadRequest
from modelserver.protocol.worker_start import WORKER, start_command
from modelserver.spec import WorkerDescription, WorkerSettings, WorkerSpec
from modelserver.system.threads import ProcessorShare, number_of_threads, thread_variables

_log = Logger()

SOCKET_BUFFER = 1 << 21
LARGEST_HEADS = 1 << 24
"""Bytes of everything in a frame that is no answer's body: a worker that claims more is lying."""
ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
"""
How workers' memory is managed, where nobody has said otherwise: see mallopt(3) of glibc.

Blocks of up to 32 MB, and 128 MB of what was freed, are kept for the next batch. By itself glibc gives them
back to the kernel, which clears them and hands them out again page by page: a third of the time of a small
convolutional network.
"""


def worker_environment(
    spec: WorkerSpec,
    settings: WorkerSettings,
    inherited: Mapping[str, str],
    share: ProcessorShare | None = None,
) -> dict[str, str]:
    """
    The environment of a worker: inherited without the hidden names, and what the peers add.

    :param share: the processors that it may use; None leaves the number of its threads alone.
    """
    hidden = re.compile(settings.hidden_variables) if settings.hidden_variables else None
    environment = {
        name: value for name, value in inherited.items() if hidden is None or not hidden.fullmatch(name)
    }
    decode = "true" if settings.decode_input_request else "false"
    rules = DIALECTS[settings.dialect]
    environment[f"{rules.variable_prefix}DECODE_INPUT_REQUEST"] = decode
    environment["PYTHONUNBUFFERED"] = "1"
    for part, name in zip(("ID", "START", "END"), settings.sequence_headers, strict=True):
        environment[f"TS_REQUEST_SEQUENCE_{part}"] = name
    if not any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment):
        environment |= ALLOCATION
    if share is not None:
        environment |= thread_variables(share, environment)
    environment[OWNER] = spec.id
    if spec.visible_devices is not None:
        environment["CUDA_VISIBLE_DEVICES"] = words_of(spec.visible_devices, settings.device_words)
    return environment


def words_of(gpus: Sequence[int], words: Sequence[str]) -> str:
    """
    Return what a worker is to see as ``CUDA_VISIBLE_DEVICES``.

    The server's own value of it does not hold for workers that get another: their numbers are the machine's.
    """
    return ",".join(words[gpu] if gpu < len(words) else str(gpu) for gpu in gpus)


def worker_title(spec: WorkerSpec) -> str:
    """What a worker is called in the list of processes, and in its ``sys.argv``."""
    return f"{spec.version.name}/{spec.version.version}/{spec.id}"


def largest_frame(spec: WorkerSpec, settings: WorkerSettings) -> int:
    """Bytes that a worker may send in one piece: a full batch of the largest answers, and their heads."""
    return spec.version.batching.size * settings.max_response_size + LARGEST_HEADS


def open_ahead(spec: WorkerSpec) -> AheadSender | None:
    """Return what a worker's calls are sent ahead with; None where its mode begins each batch at once."""
    return AheadSender.open() if spec.version.mode == "batches" else None


@define(eq=False)
class LocalBackend:
    """Starts worker processes with the machine's spawner."""

    machine: HostServices
    settings: WorkerSettings

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Spawn a worker."""
        process = self.prepare(events, spec)
        self.spawn(process, self.environment_for(process), self.load_frame(process))
        return process

    def load_frame(self, process: LocalProcess) -> bytes:
        """The first frame of a process that is to be a worker."""
        document = self.load_request(process.spec).to_document()
        return frames.pack_json(frames.LOAD, {**document, "ahead": process.ahead is not None})

    def environment_for(self, process: HostProcess) -> dict[str, str]:
        """What a worker that is started now finds in its environment; its number of threads is noted."""
        machine = self.machine
        environment = worker_environment(process.spec, self.settings, machine.environment, machine.share())
        process.threads = number_of_threads(environment)
        return environment

    def load_request(self, spec: WorkerSpec) -> LoadRequest:
        """What a worker is told to load."""
        slots = self.machine.slots
        return LoadRequest.for_worker(spec, self.settings, 0 if slots is None else slots.size)

    def prepare(self, events: WorkerEvents, spec: WorkerSpec) -> LocalProcess:
        """A worker that is not launched yet."""
        return LocalProcess(spec, self.machine, events=events, ahead=open_ahead(spec))

    def spawn(
        self,
        process: HostProcess,
        environment: Mapping[str, str],
        first: bytes,
        ranks: Sequence[socket.socket] = (),
    ) -> None:
        """
        Give a worker its process and its link, or report that it cannot have them.

        :param first: the frame that it reads first.
        :param ranks: sockets that it gets besides its own, one for each of its ranks.
        """
        try:
            ours, theirs = socket_pair(SOCKET_BUFFER)
        except OSError as error:
            self.not_launched(process, error)
            return
        link = process.link = FrameSocket(
            ours, self.machine.loop, process, largest_frame(process.spec, self.settings)
        )
        outputs: Sequence[int] = ()
        try:
            outputs = process.make_pipes()
            self._spawn(process, environment, outputs, (theirs, *ranks))
        except Exception as error:
            link.close()
            self.not_launched(process, error)
        else:
            link.open()
            link.send(first)
        finally:
            theirs.close()
            for writing in outputs:
                os.close(writing)

    def not_launched(self, process: HostProcess, error: Exception) -> None:
        """Report that a worker, or a template, could not be started; called while that is handled."""
        _log.failure("Worker {worker} could not be launched", worker=process.spec.id)
        process.not_launched(error)

    def _spawn(
        self,
        process: HostProcess,
        environment: Mapping[str, str],
        outputs: Sequence[int],
        sockets: Sequence[socket.socket],
    ) -> None:
        version = process.spec.version
        python = version.start.python or self.settings.python or sys.executable
        transport = self.machine.spawner.spawnProcess(
            _Protocol(process),
            python,
            start_command(python, WORKER, worker_title(process.spec)),
            env=environment,
            childFDs=self._descriptors(process, outputs, *sockets),
        )
        spawned = cast(Spawned, transport)
        spawned.closeChildFD(0)
        process.launched(spawned.pid, lambda: _reap(spawned))

    def _descriptors(
        self, process: HostProcess, outputs: Sequence[int], theirs: socket.socket, *ranks: socket.socket
    ) -> dict[int, int | str]:
        """What a worker inherits: pipes as standard streams, its sockets, and what all have in common."""
        machine = self.machine
        inherited: dict[int, int | str] = {0: "w", 1: outputs[0], 2: outputs[1]}
        inherited[SOCKET_FD], inherited[LIFELINE_FD] = theirs.fileno(), machine.lifeline
        if machine.slots is not None:
            inherited[SLOTS_FD] = machine.slots.descriptor
        if isinstance(process, LocalProcess) and process.ahead is not None:
            inherited[OFFERS_FD], inherited[KEPT_FD] = process.ahead.descriptors
        for number, rank in enumerate(ranks, FIRST_RANK_FD):
            inherited[number] = rank.fileno()
        return inherited

    def retire(self, name: str, version: str) -> None:
        """Nothing is kept for a version."""

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """Workers come from nowhere else."""
        return None


class Spawned(Protocol):
    """What is used of Twisted's process transport."""

    pid: int

    def closeChildFD(self, descriptor: int) -> None: ...
    def reapProcess(self) -> None: ...


def _reap(spawned: Spawned) -> None:
    if spawned.pid is not None:
        spawned.reapProcess()


class _Protocol(ProcessProtocol):
    """Twisted's view of a worker process."""

    def __init__(self, process: HostProcess) -> None:
        self._process = process

    def processExited(self, reason: Failure) -> None:
        self._process.ended(getattr(reason.value, "exitCode", None), getattr(reason.value, "signal", None))
