"""The process of a template: what it says, as the template is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field

from modelserver.backends.process import HostProcess
from modelserver.language.attributes import define
from modelserver.protocol import frames
from modelserver.protocol.documents import listed, whole
from modelserver.protocol.frames import Frame
from modelserver.spec import WorkerFailure


class TemplateOwner(Protocol):
    """What a template is told."""

    def preloaded(self, hazards: list[str]) -> None:
        """Everything is loaded; ``hazards`` say why it cannot be forked, if it cannot."""

    def forked(self, number: int, pid: int) -> None:
        """The worker lives that was ordered by this number."""

    def child_exited(self, pid: int, code: int | None, number: int | None) -> None:
        """A worker has ended: by itself, with a code, or by the signal of this number."""

    def exited(self, failure: WorkerFailure) -> None:
        """The template's process is gone, or could not be launched."""


@define(eq=False)
class TemplateProcess(HostProcess):
    """The template's process and link."""

    owner: TemplateOwner = field(kw_only=True)

    def frame_arrived(self, frame: Frame) -> None:
        """Translate a frame to what the template is told."""
        if frame.kind in (frames.LOADED, frames.FORKED, frames.CHILD_EXITED):
            self._told(frame, frames.unpack_json(frame))
        elif frame.kind == frames.LOAD_FAILED:
            self.reported(frame)
        elif frame.kind != frames.STARTED:
            raise frames.unexpected(frame.kind)

    def turn_ended(self) -> None:
        """Nothing waits for the end of a turn."""

    def exited(self, failure: WorkerFailure) -> None:
        """The template is gone."""
        self.owner.exited(failure)

    def _told(self, frame: Frame, document: Mapping[str, object]) -> None:
        pid = whole(document, "pid")
        if frame.kind == frames.LOADED:
            self.owner.preloaded([str(hazard) for hazard in listed(document, "hazards")])
        elif frame.kind == frames.FORKED and pid is not None:
            self.owner.forked(frame.number, pid)
        elif pid is not None:
            self.owner.child_exited(pid, whole(document, "code"), whole(document, "signal"))
