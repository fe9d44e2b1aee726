"""Parallel workers: torchrun starts several processes (ranks), which together are one worker to the core."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from attrs import field

from modelserver.backends.failure_report import CAUSES
from modelserver.backends.frame_socket import FrameSocket, socket_pair
from modelserver.backends.local import (
    SOCKET_BUFFER,
    LocalBackend,
    largest_frame,
)
from modelserver.backends.worker_process import LocalProcess
from modelserver.devices import GpuMemory
from modelserver.errors import ServingError
from modelserver.interfaces import WorkerBackend, WorkerEvents, WorkerProcess
from modelserver.jobs import Answer, Job
from modelserver.language.attributes import define, frozen
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import unpack_answers
from modelserver.protocol.device_memory import read_device_memory
from modelserver.protocol.documents import whole
from modelserver.protocol.frames import Frame
from modelserver.spec import WorkerDescription, WorkerFailure, WorkerSettings, WorkerSpec
from modelserver.version_settings.values import Torchrun

_FIRST_RANK_ONLY = "pp"
"""In a pipeline, the first rank gets the requests and calls the others itself, as in TorchServe."""


@define(eq=False)
class TorchrunBackend:
    """Has torchrun start the workers of versions that ask for it, and leaves the others to ``plain``."""

    plain: WorkerBackend
    local: LocalBackend

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Start a worker with all its ranks."""
        torchrun = spec.version.torchrun
        if torchrun is None:
            return self.plain.launch(events, spec)
        local, machine = self.local, self.local.machine
        process = RankedProcess(spec, machine, events=events)
        try:
            pairs = [socket_pair(SOCKET_BUFFER) for _ in range(torchrun.ranks)]
        except OSError as error:
            local.not_launched(process, error)
            return process
        load = local.load_request(spec)
        order = {
            "arguments": torchrun_arguments(spec, torchrun, local.settings),
            "ranks": torchrun.ranks,
            "slot_size": load.slot_size,
        }
        environment = local.environment_for(process)
        environment["OMP_NUM_THREADS"] = str(torchrun.threads)
        process.threads = torchrun.threads
        for ours, _ in pairs:
            rank = Rank(process)
            rank.link = FrameSocket(ours, machine.loop, rank, largest_frame(spec, local.settings))
            process.ranks.append(rank)
        local.spawn(
            process, environment, frames.pack_json(frames.LAUNCH, order), [theirs for _, theirs in pairs]
        )
        for _, theirs in pairs:
            theirs.close()
        process.open(frames.pack_json(frames.LOAD, load.to_document()))
        return process

    def retire(self, name: str, version: str) -> None:
        """Nothing is kept for a parallel version."""
        self.plain.retire(name, version)

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """Parallel workers come from nowhere else."""
        return self.plain.describe(name, version)


def torchrun_arguments(spec: WorkerSpec, torchrun: Torchrun, settings: WorkerSettings) -> list[str]:
    """
    The options of ``torch.distributed.run``.

    No rank is ever started again by torchrun: the server starts the whole worker again.
    """
    options: dict[str, object] = {
        "nnodes": torchrun.nodes,
        "nproc-per-node": torchrun.ranks,
        "node-rank": torchrun.node_rank,
        "rdzv-backend": torchrun.rdzv_backend,
        "rdzv-endpoint": torchrun.rdzv_endpoint,
        "rdzv-conf": torchrun.rdzv_conf,
        "rdzv-id": f"{spec.version.name}_{spec.id}",
        "master-addr": torchrun.master_addr,
        "master-port": torchrun.master_port or "",
        "monitor-interval": f"{torchrun.monitor_interval:g}",
        "max-restarts": 0,
        "log-dir": settings.torchrun_logs,
    }
    if torchrun.nodes == 1 and not torchrun.rdzv_endpoint and torchrun.rdzv_backend == "c10d":
        # Workers do not meet in each other's store, and need no name server for this machine's name.
        options |= {"rdzv-endpoint": "127.0.0.1:0", "local-addr": "127.0.0.1"}
    return [f"--{name}={value}" for name, value in options.items() if value != ""]


@define(eq=False)
class Rank:
    """
    One rank's link, and what is known of it.

    :param number: its number on this machine, once it has introduced itself.
    :param finished: how many jobs it has answered.
    """

    process: RankedProcess
    link: FrameSocket = field(init=False)
    number: int | None = field(default=None, init=False)
    pid: int | None = field(default=None, init=False)
    is_loaded: bool = field(default=False, init=False)
    finished: int = field(default=0, init=False)
    gpu_memory: GpuMemory | None = field(default=None, init=False)

    def frame_arrived(self, frame: Frame) -> None:
        """The process knows what it means for all."""
        if frame.kind == frames.STARTED:
            self._introduce(frames.unpack_json(frame))
        else:
            self.process.rank_sent(self, frame)

    def _introduce(self, said: Mapping[str, object]) -> None:
        pid = whole(said, "pid")
        if pid is None or pid <= 1:
            raise frames.FrameError("a rank without a process")
        self.number, self.pid = whole(said, "rank"), pid

    def turn_ended(self) -> None:
        """Pass it on."""
        self.process.turn_ended()

    def closed(self, problem: str | None) -> None:
        """Pass it on."""
        self.process.closed(problem)


@frozen
class _Said:
    """
    Answers of the first rank, or parts of one, until the others are as far.

    :param jobs: how many jobs the first rank had finished when it said this.
    """

    number: int
    answers: Sequence[Answer | ServingError]
    seconds: float | None
    jobs: int


@define(eq=False)
class RankedProcess(LocalProcess):
    """
    A worker of several ranks. Its own process is the launcher, its own link is for news of the ranks.

    The first rank answers; a job is over when every rank that has it has finished it, for bodies in shared
    memory must stay there until then.
    """

    ranks: list[Rank] = field(factory=list, init=False)
    _said: deque[_Said] = field(factory=deque, init=False)
    _end_of_rank: tuple[int | None, int | None] | None = field(default=None, init=False)

    def open(self, load: bytes) -> None:
        """Have every rank load the model; where nothing was launched, let them go."""
        for rank in self.ranks:
            if self.pid is None:
                rank.link.close()
            else:
                rank.link.open()
                rank.link.send(load)

    # What the core asks.

    def send(self, number: int, jobs: Sequence[Job], pipelined: bool = False, ahead: bool = False) -> None:
        """Hand over a batch to the first rank, and to the others unless they are called by it."""
        for rank in self._takers():
            rank.link.send_batch(number, jobs, frames.PIPELINED if pipelined else 0)

    def _takers(self) -> list[Rank]:
        if self.spec.version.devices.parallel_type == _FIRST_RANK_ONLY:
            return [rank for rank in self.ranks if rank.number == 0]
        return self.ranks

    def flush(self) -> None:
        """Write what was handed over."""
        for rank in self.ranks:
            rank.link.flush()

    def cancel(self, number: int, index: int) -> None:
        """Nobody is told: were the first rank to stop, the others would wait for it in vain."""

    def hold(self, number: int, is_held: bool) -> None:
        """The first rank is the one that streams."""
        for rank in self.ranks:
            if rank.number == 0:
                rank.link.send(frames.pack_bare(frames.CREDIT, number, 0 if is_held else 1))

    def stop(self) -> None:
        """End of input for all, and TERM."""
        for rank in self.ranks:
            rank.link.close()
        super().stop()

    def kill(self, cause: str) -> None:
        """KILL the launcher's group and each rank's."""
        super().kill(cause)
        self._kill_ranks()

    def _kill_ranks(self) -> None:
        for rank in self.ranks:
            if rank.pid is not None:
                try:
                    os.killpg(rank.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass

    # What the ranks report.

    def rank_sent(self, rank: Rank, frame: Frame) -> None:
        """Translate a rank's frame to an event, if it is one for the whole worker."""
        kind = frame.kind
        if kind == frames.LOADED:
            rank.is_loaded = True
            if all(each.is_loaded for each in self.ranks):
                self.events.loaded()
        elif kind in CAUSES:
            self.reported(frame)
        elif kind in (frames.ANSWERS, frames.PART):
            self._hear(rank, frame)
        elif kind == frames.DEVICE_MEMORY:
            rank.gpu_memory = read_device_memory(frame)
            told = [each.gpu_memory for each in self.ranks if each.gpu_memory is not None]
            self.gpu_memory = reduce(add, told)
        elif kind != frames.METRICS:
            raise frames.unexpected(kind)
        elif rank.number == 0:
            super().frame_arrived(frame)

    def _hear(self, rank: Rank, frame: Frame) -> None:
        is_answer = frame.kind == frames.ANSWERS
        if is_answer:
            rank.finished += frame.items
        if rank.number == 0:
            for number, answers, seconds in unpack_answers(frame, self._shared):
                said = _Said(number, answers, seconds if is_answer else None, rank.finished)
                self._said.append(said)
        finished = min((taker.finished for taker in self._takers()), default=0)
        while self._said and self._said[0].jobs <= finished:
            said = self._said.popleft()
            if said.seconds is None:
                self.events.part_arrived(said.number, said.answers)
            else:
                self.events.answered(said.number, said.answers, said.seconds)

    def closed(self, problem: str | None) -> None:
        """A worker without one of its sockets is of no use; the launcher may still tell why."""
        if problem is not None or self._last_wait is None:
            super().closed(problem)

    # What the launcher and the system report.

    def frame_arrived(self, frame: Frame) -> None:
        """News of a rank, or of the launcher itself."""
        if frame.kind == frames.RANK_EXITED:
            self._rank_exited(frames.unpack_json(frame))
        else:
            super().frame_arrived(frame)

    def _rank_exited(self, document: Mapping[str, object]) -> None:
        """One rank is gone: so are all."""
        if self._end_of_rank is None and self.cause is None:
            self._end_of_rank = whole(document, "code"), whole(document, "signal")
            self.problem = f"rank {document.get('rank')} of {len(self.ranks)}"
            self._signal(signal.SIGKILL)
            self._kill_ranks()

    def ended(self, code: int | None, number: int | None) -> None:
        """The launcher is gone: take what the ranks still had to say, end them, report."""
        for rank in self.ranks:
            rank.link.drain()
            rank.link.close()
        self._kill_ranks()
        for rank in self.ranks:
            rank.pid = None
        super().ended(code, number)

    def _explain(self, code: int | None, number: int | None) -> WorkerFailure:
        return super()._explain(*(self._end_of_rank or (code, number)))
