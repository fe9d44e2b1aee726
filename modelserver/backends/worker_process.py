"""A worker on this machine, as the core sees it: batches and signals to it, its frames as events."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress

from attrs import define, field

from modelserver.backends.process import HostProcess, listed
from modelserver.interfaces import WorkerEvents
from modelserver.jobs import Job
from modelserver.protocol import frames
from modelserver.protocol.frames import Frame
from modelserver.spec import WorkerFailure

RELEASE = signal.SIGURG
"""Ignored by programs that do not know it; see ``modelserver.child.loops.batches``."""


@define(eq=False)
class LocalProcess(HostProcess):
    """One worker on this machine."""

    events: WorkerEvents = field(kw_only=True)
    _shared: memoryview | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        HostProcess.__attrs_post_init__(self)
        slots = self.machine.slots
        self._shared = None if slots is None else slots.memory

    # What the core asks.

    def send(self, number: int, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Hand over a batch, or jobs that are each a batch, at the next ``flush``."""
        self.link.send_batch(number, jobs, frames.PIPELINED if pipelined else 0)

    def flush(self) -> None:
        """Write what was handed over."""
        self.link.flush()

    def flush_answers(self) -> None:
        """A signal: the worker is in its handler, and does not look into its socket."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, RELEASE)

    def cancel(self, number: int, index: int) -> None:
        """Tell a streaming handler that the client of one job left."""
        self.link.send(frames.pack_bare(frames.CANCEL, number, index))

    def hold(self, number: int, is_held: bool) -> None:
        """Give a streaming handler no credit for its next part, or give it back."""
        self.link.send(frames.pack_bare(frames.CREDIT, number, 0 if is_held else 1))

    # What the link and the system report.

    def frame_arrived(self, frame: Frame) -> None:
        """Translate a frame to an event."""
        kind = frame.kind
        if kind == frames.ANSWERS:
            answers = frames.unpack_answers(frame, self._shared)
            self.events.answered(frame.number, answers, frame.microseconds / 1e6)
        elif kind == frames.PART:
            self.events.part_arrived(frame.number, frames.unpack_answers(frame))
        elif kind == frames.METRICS:
            emitted = listed(frames.unpack_json(frame).get("metrics"))
            self.events.counted([metric for metric in emitted if isinstance(metric, dict)])
        elif kind == frames.STARTED:
            self.events.started()
        elif kind == frames.LOADED:
            self.events.loaded()
        elif kind == frames.LOAD_FAILED:
            self.fail_to_load(frames.unpack_json(frame))
        else:
            raise frames.unexpected(kind)

    def turn_ended(self) -> None:
        """Pass it on."""
        self.events.turn_ended()

    def launched(self, pid: int, exited: Callable[[], None]) -> None:
        """The process exists; what it leaves behind is known by it."""
        if self.machine.orphans is not None:
            self.machine.orphans.worker_began(pid, self.spec.id)
        super().launched(pid, exited)

    def exited(self, failure: WorkerFailure) -> None:
        """Pass it on."""
        if self.machine.orphans is not None and self._pid is not None:
            self.machine.orphans.worker_ended(self._pid)
        self.events.exited(failure)
