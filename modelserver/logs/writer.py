"""The server's log files and its console: lines are buffered for a moment and written together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Protocol

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
)
from zope.interface import implementer

from modelserver.backends.output import OUTPUT_NAMESPACE
from modelserver.dialect_rules import DIALECTS, TORCHSERVE
from modelserver.language.attributes import define, frozen
from modelserver.logs.flush_pace import FlushPace
from modelserver.logs.layouts import Access, AlikeAccesses, Asked, JsonLayout, Layout, TextLayout
from modelserver.logs.rotation import RotatingFile, Rotation
from modelserver.metrics.log_lines import MetricLine

if TYPE_CHECKING:
    from constantly import NamedConstant  # type: ignore[import-untyped]  # it comes with Twisted

MOST_WAITING = 1024
"""Lines of a file that wait for others."""


@frozen
class LogSettings:
    """
    Where logs are, and which layout they have.

    :param folder: the folder of all logs but those of metrics (``LOG_LOCATION``).
    :param metrics_folder: the folder of the logs of metrics (``METRICS_LOCATION``).
    :param is_json: lines are JSON objects (``log_format=json``).
    :param access_format: see ``TextLayout``.
    :param debugs: the server's own debug lines are kept, too.
    """

    folder: Path
    metrics_folder: Path
    dialect: str = TORCHSERVE.name
    is_json: bool = False
    access_format: str = ""
    debugs: bool = False
    rotation: Rotation = field(factory=Rotation)


class TextSink(Protocol):
    """What lines are written to."""

    def write(self, text: str) -> object:
        """Take whole lines."""

    def close(self) -> None:
        """No lines come any more."""


@frozen
class LogInputs:
    """
    What the logs are given.

    :param now: seconds since the epoch.
    :param from_thread: runs something in the reactor's thread, for events of other threads.
    :param console: gets every line, too, or None. It is closed with the files.
    :param trace_id: returns the id of the trace of the request that the present call is for, or nothing.
    """

    clock: IReactorTime
    now: Callable[[], float]
    from_thread: Callable[[Callable[[], None]], object]
    console: TextSink | None = None
    trace_id: Callable[[], str] = str


@define(eq=False)
class LineBuffer:
    """
    Lines of one file, buffered.

    :param sinks: what the lines are written to.
    :param soon: asks for a ``flush`` by the pace of all logs.
    """

    sinks: tuple[TextSink, ...]
    soon: Callable[[], None]
    _waiting: list[str] = field(factory=list, init=False)

    @property
    def waiting(self) -> int:
        """How many lines are buffered."""
        return len(self._waiting)

    def add(self, line: str) -> None:
        """Write a line, which ends in a line feed, at the next ``flush``."""
        self._waiting.append(line)
        if len(self._waiting) == 1:
            self.soon()
        elif len(self._waiting) >= MOST_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            text = "".join(waiting)
            for sink in self.sinks:
                sink.write(text)


@define(eq=False)
class AccessLogWriter:
    """Logs answered requests: keeps a tuple for each, and formats several tuples at once."""

    layout: Layout
    own: LineBuffer
    root: LineBuffer
    now: Callable[[], float]
    soon: Callable[[], None]
    _waiting: list[Access | AlikeAccesses] = field(factory=list, init=False)
    _alike: int = field(default=0, init=False)
    """How many requests wait beside the first of those that were answered together."""

    def record(
        self,
        remote: str,
        asked: Asked,
        status: int,
        milliseconds: float,
        request_id: bytes,
        trace_id: str = "",
    ) -> None:
        """Log one answered request; ``asked`` may hold any text, for it comes from the client."""
        waiting = self._waiting
        if not waiting:
            self.soon()
        waiting.append((self.now(), remote, asked, status, milliseconds, request_id, trace_id))
        if len(waiting) >= MOST_WAITING:
            self._flush_all()

    def record_all(self, answered: Sequence[Access]) -> None:
        """Log requests that were answered together."""
        waiting = self._waiting
        if not waiting:
            self.soon()
        waiting += answered
        if len(waiting) >= MOST_WAITING:
            self._flush_all()

    def record_alike(self, answered: AlikeAccesses) -> None:
        """Log requests that were answered together, and are alike."""
        waiting = self._waiting
        if not waiting:
            self.soon()
        waiting.append(answered)
        self._alike += len(answered.request_ids) - 1
        if self.waiting >= MOST_WAITING:
            self._flush_all()

    def _flush_all(self) -> None:
        self.flush()
        self.own.flush()
        self.root.flush()

    @property
    def waiting(self) -> int:
        """How many requests are buffered."""
        return len(self._waiting) + self._alike

    def flush(self) -> None:
        """Format the buffered requests."""
        if self._waiting:
            waiting, self._waiting, self._alike = self._waiting, [], 0
            own, root = self.layout.access(waiting)
            self.own.add(own)
            self.root.add(root)


@implementer(ILogObserver)
@define(eq=False)
class LineObserver:
    """
    Makes lines of log events, for one or more files.

    :param show: formats an event.
    :param urgently: called after an error, which may be the last event of the process: it flushes.
    :param from_thread: runs something in the reactor's thread.
    :param trace_id: see ``LogInputs``.
    """

    show: Callable[[LogEvent], str]
    files: tuple[LineBuffer, ...]
    urgently: Callable[[], None]
    from_thread: Callable[[Callable[[], None]], object]
    trace_id: Callable[[], str] = str
    _home: int = field(factory=get_ident, init=False)

    def __call__(self, event: LogEvent) -> None:
        """Take an event; may be called in any thread."""
        if get_ident() == self._home:
            trace_id = self.trace_id()
            self._add(event, self.show({**event, "trace_id": trace_id} if trace_id else event))
        else:
            line = self.show(event)
            self.from_thread(lambda: self._add(event, line))

    def _add(self, event: LogEvent, line: str) -> None:
        for file in self.files:
            file.add(line)
        level = event.get("log_level")
        if level is not None and level >= LogLevel.error:
            self.urgently()


@implementer(ILogFilterPredicate)
class OutputOnly:
    """Passes the events that hold workers' output."""

    def __call__(self, event: LogEvent) -> NamedConstant:
        """Return whether an event passes."""
        is_output = event.get("log_namespace") == OUTPUT_NAMESPACE and "line" in event
        return PredicateResult.yes if is_output else PredicateResult.no


@define(eq=False)
class Logs:
    """
    All logs of a server.

    As in TorchServe and MMS, each line goes into the file of its kind, into the server's log and to the
    console; a line of the server itself is in the server's log once.

    ``collect``, where it is set, adds lines before all are written: those of metrics, which so are in their
    files with the lines of the requests that they count, and cost the requests nothing.
    """

    settings: LogSettings
    inputs: LogInputs
    access: AccessLogWriter = field(init=False)
    observer: ILogObserver = field(init=False)
    collect: Callable[[], object] | None = field(default=None, init=False)
    _layout: Layout = field(init=False)
    _files: list[RotatingFile] = field(factory=list, init=False)
    _lines: list[LineBuffer] = field(factory=list, init=False)
    _root: LineBuffer = field(init=False)
    _server_metrics: LineBuffer = field(init=False)
    _model_metrics: LineBuffer = field(init=False)
    _flushing: IDelayedCall | None = field(default=None, init=False)
    _pace: FlushPace = field(factory=FlushPace, init=False)

    def __attrs_post_init__(self) -> None:
        settings, inputs = self.settings, self.inputs
        self._layout = (
            JsonLayout() if settings.is_json else TextLayout(settings.dialect, settings.access_format)
        )
        console = () if inputs.console is None else (inputs.console,)
        self._root = self._new_lines(settings.folder / f"{self._prefix}_log.log", *console)
        self._server_metrics = self._new_lines(settings.metrics_folder / f"{self._prefix}_metrics.log")
        self._model_metrics = self._new_lines(settings.metrics_folder / "model_metrics.log")
        output = self._new_lines(settings.folder / "model_log.log")
        self.access = AccessLogWriter(
            self._layout,
            self._new_lines(settings.folder / "access_log.log"),
            self._root,
            inputs.now,
            self._soon,
        )
        self.observer = self._new_observer(output)

    @property
    def _prefix(self) -> str:
        return DIALECTS[self.settings.dialect].log_prefix

    def _new_lines(self, path: Path, *more: TextSink) -> LineBuffer:
        file = RotatingFile(path, self.inputs.now, self.settings.rotation)
        lines = LineBuffer((file, *more), self._soon)
        self._files.append(file)
        self._lines.append(lines)
        return lines

    def _new_observer(self, output: LineBuffer) -> ILogObserver:
        levels = LogLevelFilterPredicate(LogLevel.info)
        if self.settings.debugs:
            levels.setLogLevelForNamespace("modelserver", LogLevel.debug)
        # Multi Model Server has the workers' lines in its own log only.
        files = (output, self._root) if DIALECTS[self.settings.dialect].has_model_log else (self._root,)
        return FilteringLogObserver(
            self._observing(self._layout.output, *files),
            [OutputOnly()],
            FilteringLogObserver(self._observing(self._layout.event, self._root), [levels]),
        )

    def _observing(self, show: Callable[[LogEvent], str], *files: LineBuffer) -> LineObserver:
        inputs = self.inputs
        return LineObserver(show, files, self.flush, inputs.from_thread, inputs.trace_id)

    def open(self) -> None:
        """Create the files, so that they can be followed before they have lines."""
        for file in self._files:
            file.open()

    def server_metric(self, line: MetricLine) -> None:
        """Write a value into ``ts_metrics.log``."""
        self._metric(f"{self._prefix.upper()}_METRICS", self._server_metrics, line)

    def model_metric(self, line: MetricLine) -> None:
        """Write a value into ``model_metrics.log``."""
        self._metric("MODEL_METRICS", self._model_metrics, line)

    def model_told(self) -> None:
        """Write ``model_metrics.log`` now, unless lines come fast: the answers it tells of leave next."""
        flushing = self._flushing
        if flushing is not None and flushing.getTime() <= self.inputs.clock.seconds():
            self._model_metrics.flush()

    def _metric(self, logger: str, file: LineBuffer, line: MetricLine) -> None:
        own, root = self._layout.metric(logger, self.inputs.now(), line)
        file.add(own)
        self._root.add(root)

    def flush(self) -> None:
        """Write all that is buffered, and what others have for the logs."""
        if self.collect is not None:
            self.collect()
        self._pace.flushed(self.access.waiting + self._root.waiting)
        self.access.flush()
        for lines in self._lines:
            lines.flush()
        # Cleared last, for what is added by the steps above needs no flush of its own.
        if self._flushing is not None and self._flushing.active():
            self._flushing.cancel()
        self._flushing = None

    def close(self) -> None:
        """Write all that is buffered, and close the files."""
        self.flush()
        for file in self._files:
            file.close()
        if self.inputs.console is not None:
            self.inputs.console.close()

    def _soon(self) -> None:
        if self._flushing is None:
            clock = self.inputs.clock
            self._flushing = clock.callLater(self._pace.delay(clock.seconds()), self.flush)
