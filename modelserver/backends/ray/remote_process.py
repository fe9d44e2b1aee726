"""A worker on another machine, as the core sees it: batches and signals to it, its frames as events."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from attrs import evolve, field
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from modelserver.backends.failure_report import CAUSES, FailureReport
from modelserver.backends.output import LineLog, tell_line
from modelserver.backends.ray.awaited_answers import AwaitedAnswers
from modelserver.backends.ray.link_watch import LinkWatch
from modelserver.backends.ray.node_clock import answers_in_our_time, in_our_time
from modelserver.backends.ray.node_usage import read_usage
from modelserver.backends.ray.remote_link import RemoteLink
from modelserver.backends.ray.remote_services import RemoteServices
from modelserver.backends.ray.secure_stream import SecureStream
from modelserver.backends.ray.starter import NodeHandle
from modelserver.backends.ray.wire import FIRST_FOR_NODES, SECONDS, NodeKind
from modelserver.devices import GpuMemory
from modelserver.interfaces import WorkerEvents
from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.metrics.node_metrics import NodeFigures
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import unpack_answers
from modelserver.protocol.call_times import unpack_times
from modelserver.protocol.device_memory import read_device_memory
from modelserver.protocol.documents import mappings, text, whole
from modelserver.protocol.frames import Frame
from modelserver.spec import WorkerFailure, WorkerPlace, WorkerSpec

KILL_WAIT = 2.0
"""Seconds that a node has to tell of a worker's forced end."""

LOST = ("node", "silence")
"""Causes of an end that are the node's, not the worker's."""

_SIGNALS = {each.value: each.name for each in signal.Signals}
_log = Logger()


@define(eq=False)
class RemoteProcess:
    """
    One worker on a node: wanted, then connected, then gone.

    :param largest: bytes of the largest frame that it may send.
    :param start: the frame that the node reads first.
    :param offer_files: tells the node what the model's files are, or (``True``) sends them.
    :param left: called once, when it is gone.
    """

    spec: WorkerSpec
    services: RemoteServices
    events: WorkerEvents
    largest: int
    start: bytes
    offer_files: Callable[[RemoteLink, bool], None]
    left: Callable[[], None] = lambda: None
    place: WorkerPlace = field(factory=WorkerPlace, init=False)
    handle: NodeHandle | None = field(default=None, init=False)
    goes_ahead: bool = field(default=False, init=False)
    is_laying: bool = field(default=False, init=False)
    threads: int | None = field(default=None, init=False)
    gpu_memory: GpuMemory | None = field(default=None, init=False)
    _link: RemoteLink | None = field(default=None, init=False)
    _watch: LinkWatch | None = field(default=None, init=False)
    _stdout: LineLog = field(init=False)
    _stderr: LineLog = field(init=False)
    _awaited: AwaitedAnswers = field(factory=AwaitedAnswers, init=False)
    _cause: str | None = field(default=None, init=False)
    _report: FailureReport = field(factory=FailureReport, init=False)
    _problem: str | None = field(default=None, init=False)
    _is_permanent: bool = field(default=False, init=False)
    _is_gone: bool = field(default=False, init=False)
    _last_wait: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        services, spec = self.services, self.spec
        services.accounts.came(self)
        self._stdout, self._stderr = (
            LineLog(partial(tell_line, spec, name), services.clock, services.output)
            for name in ("stdout", "stderr")
        )

    # What the core asks.

    @property
    def pid(self) -> int | None:
        """The process id on its node, None before it is there and once it is gone."""
        return None if self._is_gone else self.place.pid

    def calls_under_way(self, seconds: float) -> int:
        """Return how many calls are on the way to the node and back."""
        return 0 if self._watch is None else self._watch.calls_under_way(seconds)

    def send(self, number: int, jobs: Sequence[Job], pipelined: bool = False, ahead: bool = False) -> None:
        """Hand over a batch, or jobs that are each a batch, at the next ``flush``; none can be taken back."""
        if self._link is not None:
            self._awaited.sent(number, len(jobs))
            self._link.send_batch(number, jobs, frames.PIPELINED if pipelined else 0)

    def flush(self) -> None:
        """Write what was handed over."""
        if self._link is not None:
            self._link.flush()

    def take_back(self) -> int:
        """Take nothing back: what is on its way is out of reach."""
        return 0

    def collect_answers(self) -> None:
        """There is no memory in common in which answers could lie."""

    def cancel(self, number: int, index: int) -> None:
        """Tell a streaming handler that the client of one job left."""
        self._say(frames.pack_bare(frames.CANCEL, number, index))

    def hold(self, number: int, is_held: bool) -> None:
        """Give a streaming handler no credit for its next part, or give it back."""
        self._say(frames.pack_bare(frames.CREDIT, number, 0 if is_held else 1))

    def _say(self, frame: bytes) -> None:
        if self._link is not None:
            self._link.send(frame)

    def stop(self) -> None:
        """End of input, and TERM for a handler that does not look."""
        self._cause = self._cause or "exit"
        if self._link is None:
            self._end_soon()
        else:
            self._say(frames.pack_bare(NodeKind.END_INPUT))

    def kill(self, cause: str) -> None:
        """KILL the process group; a node that does not tell of it loses its share of the cluster."""
        if self._is_gone:
            return
        self._cause = cause
        if self._link is None:
            self._end_soon()
        else:
            self._say(frames.pack_bare(NodeKind.SIGNAL, signal.SIGKILL))
            if self._last_wait is None:
                self._last_wait = self.services.clock.callLater(KILL_WAIT, self.ended, None, None)

    def _end_soon(self) -> None:
        self.services.loop.call_soon(lambda: self.ended(None, None))

    # What is counted of it.

    @property
    def version_key(self) -> tuple[str, str]:
        """The name and number of its version."""
        return self.spec.version.name, self.spec.version.version

    @property
    def node(self) -> str:
        """Its node's name, empty as long as it has none."""
        return self.place.node

    @property
    def waits_for_place(self) -> bool:
        """Whether the cluster has none for it."""
        return self._link is None and not self.place.node and bool(self.place.reason)

    @property
    def figures(self) -> NodeFigures | None:
        """Its part of its node's numbers, None before it is connected."""
        link, watch = self._link, self._watch
        if link is None or watch is None:
            return None
        return NodeFigures(
            workers=1,
            suspect=int(watch.is_suspect),
            sent=link.stream.sent,
            received=link.stream.received,
            round_trip=watch.round_trip,
        )

    # What is told of the node that is looked for.

    def waits(self, reason: str) -> None:
        """There is no place for it now."""
        if self.place.reason != reason:
            _log.warn("Worker {worker} cannot be placed: {reason}", worker=self.spec.id, reason=reason)
        self.place = evolve(self.place, reason=reason)
        self._problem = reason

    def placed(self, node: str, address: str, group: str, reason: str) -> None:
        """It has a place."""
        self._problem = None
        self.place = evolve(self.place, node=node, address=address, group=group, reason=reason)

    def not_started(self, reason: str, is_permanent: bool = False) -> None:
        """Nobody will dial, or whoever did is gone."""
        if self._link is None:
            self._cause = self._cause or "launch"
            self._problem, self._is_permanent = reason, is_permanent
            self._end_soon()

    @property
    def is_wanted(self) -> bool:
        """Whether it is neither gone nor about to end."""
        return not self._is_gone and self._cause is None

    def give_up(self, reason: str) -> None:
        """End it: what it needs cannot be had here."""
        self._problem = reason
        self.kill("launch")

    def connected(self, stream: SecureStream) -> None:
        """Its node has dialled, and shown the token."""
        services = self.services
        if self._is_gone:
            stream.close()
            return
        stream.outlast(services.lost)
        link = self._link = RemoteLink(stream, services.loop, self, self.largest, services.slots)
        self._watch = LinkWatch(
            services.clock,
            services.silence,
            services.lost,
            lambda number: link.send(frames.pack_bare(NodeKind.PROBE, number)),
            self._went_silent,
            self._heard_again,
            self._gave_up,
        )
        link.open()
        link.send(self.start)
        self._watch.start()

    # What the link reports.

    def heard(self) -> None:
        """Something has come."""
        if self._watch is not None:
            self._watch.heard()

    def frame_arrived(self, frame: Frame) -> None:
        """Translate a frame to an event."""
        kind = frame.kind
        if kind == frames.ANSWERS:
            for number, answers, seconds in self._awaited.wanted(unpack_answers(frame)):
                answers_in_our_time(answers, self._offset)
                self.events.answered(number, answers, seconds)
        elif kind >= FIRST_FOR_NODES:
            self._node_said(frame)
        elif kind == frames.PART:
            for number, parts, _ in unpack_answers(frame):
                if not self._awaited.is_given_up(number):
                    self.events.part_arrived(number, parts)
        elif kind == frames.METRICS:
            self.events.counted(mappings(frames.unpack_json(frame), "metrics"))
        elif kind == frames.TIMES:
            marks = in_our_time(unpack_times(frame), self._offset)
            self.events.timed(frame.number, frame.items, marks)
        elif kind == frames.DEVICE_MEMORY:
            self.gpu_memory = read_device_memory(frame)
        elif kind in (frames.STARTED, frames.LOADED):
            (self.events.started if kind == frames.STARTED else self.events.loaded)()
        elif kind in CAUSES:
            self._report = FailureReport.read(frame, self.spec)
        else:
            raise frames.unexpected(kind)

    @property
    def _offset(self) -> float | None:
        return None if self._watch is None else self._watch.offset

    def _node_said(self, frame: Frame) -> None:
        kind = frame.kind
        if kind == NodeKind.ECHO:
            if len(frame.payload) != SECONDS.size:
                raise frames.FrameError("an echo without a time")
            if self._watch is not None:
                self._watch.echoed(frame.number, SECONDS.unpack(frame.payload)[0])
        elif kind == NodeKind.OUTPUT:
            log = self._stdout if frame.number == 1 else self._stderr
            log.data_received(bytes(frame.payload))
        elif kind in (NodeKind.NEED, NodeKind.WANT):
            if self._link is not None:
                self.offer_files(self._link, kind == NodeKind.WANT)
        else:
            self._node_told(kind, frames.unpack_json(frame))

    def _node_told(self, kind: int, document: Mapping[str, object]) -> None:
        if kind == NodeKind.SPAWNED:
            node = self.place.node or text(document, "host")
            self.place = evolve(self.place, pid=whole(document, "pid"), node=node)
        elif kind == NodeKind.USAGE:
            memory, gpu = read_usage(document, self.place.pid)
            self.place = evolve(self.place, memory=memory, gpu=gpu)
        elif kind == NodeKind.EXITED:
            if problem := text(document, "problem"):
                self._problem, self._cause = problem, self._cause or "protocol"
            else:
                lacked = document.get("out_of_memory") is True
                self.ended(whole(document, "code"), whole(document, "signal"), lacked)
        elif kind == NodeKind.NOT_STARTED:
            self._cause, self._problem = self._cause or "launch", text(document, "text")
            self.ended(None, whole(document, "signal"))
        else:
            raise frames.unexpected(kind)

    def turn_ended(self) -> None:
        """Pass it on."""
        if not self._is_gone:
            self.events.turn_ended()

    def closed(self, problem: str | None) -> None:
        """Its node is gone, or sends what is no frame."""
        if not self._is_gone:
            self._cause = self._cause or ("node" if problem is None else "protocol")
            self._problem = problem or "its node closed the connection"
            self.ended(None, None)

    # What the watch reports.

    def _went_silent(self) -> None:
        silence = self.services.silence
        reason = f"nothing was heard of node {self.place.node} for {silence:g} s"
        _log.warn("Worker {worker} is suspect: {reason}", worker=self.spec.id, reason=reason)
        self._awaited.give_up()
        self.events.went_silent(WorkerFailure("silence", self.services.now(), text=reason))

    def _heard_again(self) -> None:
        _log.info("Worker {worker} is heard again", worker=self.spec.id)
        self.events.heard_again()

    def _gave_up(self) -> None:
        self._cause = self._cause or "silence"
        self._problem = f"nothing was heard of node {self.place.node} for {self.services.lost:g} s"
        self.ended(None, None)

    # The end.

    def ended(self, code: int | None, number: int | None, lacked_memory: bool = False) -> None:
        """The worker is gone, or given up: let go of everything, report."""
        if self._is_gone:
            return
        self._is_gone = True
        if self._watch is not None:
            self._watch.stop()
        if self._last_wait is not None and self._last_wait.active():
            self._last_wait.cancel()
        if self._link is not None:
            self._link.close()
        if self.handle is not None:
            self.handle.cancel(self._cause == "silence")
        self._stdout.ended()
        self._stderr.ended()
        self.left()
        self.services.accounts.left(self, self._cause in LOST)
        failure = self._report.explain(
            at=self.services.now(),
            cause=self._cause,
            code=code,
            ended_by=_SIGNALS.get(number or 0),
            problem=self._problem,
            stderr=self._stderr.last,
            lacked_memory=lacked_memory,
            permanent=self._is_permanent,
        )
        self.events.exited(failure)
