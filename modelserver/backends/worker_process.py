"""A worker on this machine, as the core sees it: batches and signals to it, its frames as events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from attrs import field

from modelserver.backends.answer_room import AnswerRoom
from modelserver.backends.failure_report import CAUSES
from modelserver.backends.parts_watch import PartsWatch
from modelserver.backends.process import HostProcess
from modelserver.devices import GpuMemory
from modelserver.interfaces import WorkerEvents
from modelserver.jobs import Job
from modelserver.language.attributes import define
from modelserver.protocol import frames
from modelserver.protocol.ahead import AheadSender
from modelserver.protocol.answer_rows import unpack_answers, without_first
from modelserver.protocol.call_times import unpack_times
from modelserver.protocol.device_memory import read_device_memory
from modelserver.protocol.documents import mappings
from modelserver.protocol.frames import Frame
from modelserver.protocol.shared_memory import LARGE
from modelserver.spec import WorkerFailure


@define(eq=False)
class LocalProcess(HostProcess):
    """
    One worker on this machine.

    :param ahead: what is shared with it of calls that are sent ahead; None: there are none.
    """

    events: WorkerEvents = field(kw_only=True)
    ahead: AheadSender | None = field(default=None, kw_only=True)
    gpu_memory: GpuMemory | None = field(default=None, init=False)
    _shared: memoryview | None = field(init=False)
    _room: AnswerRoom | None = field(init=False)
    _parts: PartsWatch | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        HostProcess.__attrs_post_init__(self)
        if self.ahead is not None:
            self._parts = PartsWatch(self.ahead.parts, self.machine.clock, self._look_for_parts)
        slots = self.machine.slots
        self._shared = None if slots is None else slots.memory
        self._room = None if slots is None else AnswerRoom(slots)

    # What the core asks.

    @property
    def goes_ahead(self) -> bool:
        """Whether calls may be sent ahead, and be taken back."""
        return self.ahead is not None

    @property
    def is_laying(self) -> bool:
        """Whether answers may lie over the bodies of their requests that were not reported."""
        return self._shared is not None if self.ahead is None else self.ahead.is_laying

    def send(self, number: int, jobs: Sequence[Job], pipelined: bool = False, ahead: bool = False) -> None:
        """Hand over a batch, or jobs that are each a batch, at the next ``flush``."""
        flags = frames.PIPELINED if pipelined else 0
        if ahead and self.ahead is not None:
            self.ahead.offer(len(jobs) if pipelined else 1)
            flags |= frames.AHEAD
        room = self._room
        if room is not None and room.left:
            room.give(jobs)
        self.link.send_batch(number, jobs, flags)

    def flush(self) -> None:
        """Write what was handed over."""
        self.link.flush()

    def take_back(self) -> int:
        """Take back the calls that were sent ahead and are not begun: so many of the last ones."""
        return 0 if self.ahead is None else self.ahead.take_back()

    def collect_answers(self) -> None:
        """Report the answers that the worker keeps, though it may be in a call."""
        try:
            if self._collect():
                self.events.turn_ended()
        except (frames.FrameError, LookupError) as error:
            self.link.close()
            self.closed(str(error))

    def _collect(self) -> bool:
        kept = [] if self.ahead is None or self._gone else self.ahead.read_kept(self._shared)
        for number, answers, seconds in kept:
            self.events.answered(number, answers, seconds)
        return bool(kept)

    def cancel(self, number: int, index: int) -> None:
        """Tell a streaming handler that the client of one job left."""
        self._say(frames.pack_bare(frames.CANCEL, number, index))

    def hold(self, number: int, is_held: bool) -> None:
        """Give a streaming handler no credit for its next part, or give it back."""
        self._say(frames.pack_bare(frames.CREDIT, number, 0 if is_held else 1))

    def _say(self, frame: bytes) -> None:
        if self.ahead is not None and not self._gone:
            self.ahead.parts.say()
        self.link.send(frame)

    # What the link and the system report.

    def frame_arrived(self, frame: Frame) -> None:
        """Translate a frame to an event."""
        kind = frame.kind
        if kind == frames.ANSWERS:
            self._take_answers(frame)
        elif kind == frames.PART:
            self._take_part(frame)
        elif kind == frames.METRICS:
            self.events.counted(mappings(frames.unpack_json(frame), "metrics"))
        elif kind == frames.TIMES:
            self.events.timed(frame.number, frame.items, unpack_times(frame))
        elif kind == frames.DROPPED:
            self.events.dropped(frame.number, frame.items)
        elif kind == frames.DEVICE_MEMORY:
            self.gpu_memory = read_device_memory(frame)
        elif kind == frames.STARTED:
            self.events.started()
        elif kind == frames.LOADED:
            self.events.loaded()
        elif kind in CAUSES:
            self.reported(frame)
        else:
            raise frames.unexpected(kind)

    def _take_part(self, frame: Frame) -> None:
        """Take what was laid in memory before the frame, and then what it brings, if that is not all."""
        if self.ahead is not None and not frame.items:
            self.ahead.parts.announcement_read()
        self._take_laid()
        if self._parts is not None:
            self._parts.announced()
        if frame.items:
            for number, parts, _ in unpack_answers(frame):
                self.events.part_arrived(number, parts)
            if self.ahead is not None:
                self.ahead.parts.frame_read()

    def _take_laid(self) -> bool:
        found = [] if self.ahead is None else self.ahead.take_parts()
        for number, parts in found:
            self.events.part_arrived(number, parts)
        return bool(found)

    def _look_for_parts(self) -> bool:
        try:
            return self._take_laid()
        except (frames.FrameError, LookupError) as error:
            self.link.close()
            self.closed(str(error))
            return False

    def _take_answers(self, frame: Frame) -> None:
        self._take_laid()
        answered = unpack_answers(frame, self._shared)
        if len(frame.payload) >= LARGE and self._room is not None:
            self._room.note(answered)
        if self.ahead is not None and (known := self.ahead.arrived(frame.items)):
            answered = without_first(answered, known)
        for number, answers, seconds in answered:
            self.events.answered(number, answers, seconds)

    def turn_ended(self) -> None:
        """Pass it on."""
        self.events.turn_ended()

    def launched(self, pid: int, exited: Callable[[], None]) -> None:
        """The process exists; what it leaves behind is known by it."""
        if self.machine.orphans is not None:
            self.machine.orphans.worker_began(pid, self.spec.id)
        super().launched(pid, exited)

    def drain(self) -> None:
        """Report what the worker has written, the answers that it kept, and parts that it has laid."""
        super().drain()
        with suppress(frames.FrameError, LookupError):
            self._collect()
            self._take_laid()

    def exited(self, failure: WorkerFailure) -> None:
        """Pass it on; what the worker had ahead is taken back by then."""
        if self.machine.orphans is not None and self._pid is not None:
            self.machine.orphans.worker_ended(self._pid)
        if self._parts is not None:
            self._parts.close()
        self.events.exited(failure)
        if self.ahead is not None:
            self.ahead.close()
