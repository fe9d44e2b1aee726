"""What a worker's process tells of its own failure before it ends, and the reason of its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field

from modelserver.backends.output import tell_line
from modelserver.language.attributes import frozen
from modelserver.protocol import frames
from modelserver.protocol.documents import listed, whole
from modelserver.protocol.frames import Frame
from modelserver.protocol.plain_text import without_escapes
from modelserver.spec import DEVICE, WorkerFailure, WorkerSpec

CAUSES = {frames.LOAD_FAILED: "load", frames.DEVICE_FAILED: DEVICE}
"""The frames that are such reports, and what ends a process that has sent one."""
OUT_OF_MEMORY = 507


@frozen
class FailureReport:
    """
    What a process, or another one for it, has told.

    :param cause: that of ``WorkerFailure``; empty: nothing was told.
    """

    cause: str = ""
    document: Mapping[str, object] = field(factory=dict)

    @classmethod
    def read(cls, frame: Frame, spec: WorkerSpec) -> FailureReport:
        """
        Read a report of ``CAUSES``; the log gets the peers' line of a load that failed.

        :raises FrameError: it is malformed.
        """
        report = cls(CAUSES[frame.kind], frames.unpack_json(frame))
        if frame.kind == frames.LOAD_FAILED:
            # As in TorchServe (ts/model_service_worker.py): the exception's own text, which may be empty.
            why = report._text("text") or ""
            tell_line(spec, "stdout", f"Failed to load model {spec.version.name}, exception {why}")
        return report

    def _text(self, name: str) -> str | None:
        value = self.document.get(name)
        return None if value is None else str(value)

    def explain(
        self,
        *,
        at: float,
        cause: str | None,
        code: int | None,
        ended_by: str | None,
        problem: str | None,
        stderr: Iterable[str],
        lacked_memory: bool,
        permanent: bool = False,
    ) -> WorkerFailure:
        """
        Return why the process ended.

        :param at: when, seconds since the epoch.
        :param cause: why it was given up, or None.
        :param ended_by: the name of the signal, or None.
        :param problem: what else is known of its end.
        :param stderr: the last lines that it wrote there.
        :param lacked_memory: whether that ended it.
        :param permanent: whether starting again cannot help, whatever the process has told.
        """
        return WorkerFailure(
            cause or self.cause or ("signal" if ended_by else "exit"),
            at,
            code,
            ended_by,
            self._text("exception"),
            self._text("text") or problem,
            tuple(map(str, listed(self.document, "traceback"))),
            tuple(map(without_escapes, stderr)),
            out_of_memory=lacked_memory or self.document.get("code") == OUT_OF_MEMORY,
            permanent=permanent or bool(self.document.get("permanent")),
            device_code=whole(self.document, "device_code"),
        )
