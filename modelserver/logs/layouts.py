"""Layouts of log lines: those of TorchServe and MMS, which tools parse, or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, repeat
from json.encoder import encode_basestring_ascii
from typing import NamedTuple, Protocol

from attrs import field
from twisted.logger import LogEvent, LogLevel, eventAsText, formatEvent

from modelserver.dialect_rules import MMS, TORCHSERVE
from modelserver.language.attributes import define
from modelserver.metrics.log_lines import MetricLine, as_json, as_text, one_line
from modelserver.protocol.frames import show_id
from modelserver.system.bounded_cache import Memo

MODEL_LOG = "MODEL_LOG"

_LEVELS: Mapping[object, str] = {
    LogLevel.debug: "DEBUG",
    LogLevel.info: "INFO",
    LogLevel.warn: "WARN",
    LogLevel.error: "ERROR",
    LogLevel.critical: "FATAL",
}
# The fields of a structured line besides its text.
_FIELDS = ("request_id", "trace_id", "model", "version", "worker", "stream")
_THREAD = "main"


Asked = tuple[str, str, str]
"""What a request asked for: method, URI, protocol."""
Access = tuple[float, str, Asked, int, float, bytes, str]
"""
One request that was answered: seconds since the epoch, the remote as it is shown (``/127.0.0.1:64003``), what
it asked for, status, milliseconds, the 16 bytes of its id, or none, and the id of its trace, or nothing.
"""


class AlikeAccesses(NamedTuple):
    """
    Requests that were answered together, and differ in nothing but what is listed of them, in their order.

    :param at: seconds since the epoch; the others are as in ``Access``, one of each for a request.
    """

    at: float
    remote: str
    asked: Asked
    status: int
    milliseconds: Sequence[float]
    request_ids: Sequence[bytes]
    trace_id: str

    def apart(self) -> Iterator[Access]:
        """Return each request by itself."""
        at, remote, asked, status, milliseconds, request_ids, trace_id = self
        for spent, request_id in zip(milliseconds, request_ids, strict=True):
            yield at, remote, asked, status, spent, request_id, trace_id

    def lines(self, shown: str) -> Iterator[str]:
        """
        Return what their lines say, as the peers have it.

        :param shown: what was asked for.
        """
        start = f'{self.remote} "{shown}" {self.status} '
        for milliseconds, same in groupby(map(int, self.milliseconds)):
            yield from repeat(f"{start}{milliseconds}\n", len(list(same)))


Accesses = Iterable[Access | AlikeAccesses]
ACCESS_FIELDS = "remote", "method", "uri", "protocol", "status", "milliseconds", "request_id", "trace_id"
"""What the format of access lines may name."""
MOST_ASKED = 1024
"""What was asked for and is remembered as it is shown."""


class Layout(Protocol):
    """
    Makes lines, each with its end.

    What goes into a file of its own goes into the server's log, too, where lines tell their logger.
    """

    def access(self, requests: Accesses) -> tuple[str, str]:
        """Return lines for ``access_log.log``, and the same for the server's log."""

    def metric(self, logger: str, at: float, line: MetricLine) -> tuple[str, str]:
        """Return a line for a metrics log, and the same for the server's log."""

    def output(self, event: LogEvent) -> str:
        """Return the line for what a worker wrote."""

    def event(self, event: LogEvent) -> str:
        """Return the line for any other event."""


@define(eq=False)
class Stamps:
    """Local time with milliseconds; what many lines of a moment or a second have in common is made once."""

    format: str
    zone: str = ""
    _second: int = field(default=-1, init=False)
    _parts: tuple[str, str] = field(default=("", ""), init=False)
    _moment: int = field(default=-1, init=False)
    _shown: str = field(default="", init=False)

    def show(self, at: float) -> str:
        """Return the text of a time, given in seconds since the epoch."""
        moment = int(at * 1000)
        if moment != self._moment:
            self._moment = moment
            second, milliseconds = divmod(moment, 1000)
            if second != self._second:
                local = time.localtime(second)
                self._second = second
                self._parts = (time.strftime(self.format, local), time.strftime(self.zone, local))
            start, zone = self._parts
            self._shown = f"{start}{milliseconds:03d}{zone}"
        return self._shown


def thread_name(event: LogEvent) -> str:
    """Return TorchServe's name for the thread that reads a worker's output."""
    return f"W-{event.get('worker')}-{event.get('model')}_{event.get('version')}-{event.get('stream')}"


def mms_thread_name(event: LogEvent) -> str:
    """Return Multi Model Server's name for that thread; it has no versions."""
    return f"W-{event.get('worker')}-{event.get('model')}-{event.get('stream')}"


def _worker_name(event: LogEvent) -> str:
    """Return the peers' name for the thread that looks after a worker."""
    return f"W-{event['worker']}-{event['model']}_{event.get('version')}"


def _output_level(event: LogEvent) -> str:
    return "WARN" if event.get("stream") == "stderr" else "INFO"


def _quoted(text: str) -> str:
    """Text that can end neither the quotes around it nor its line."""
    return one_line(text).replace('"', "\\x22")


def _as_text(asked: Asked) -> str:
    return _quoted(" ".join(asked))


def _as_members(asked: Asked) -> str:
    method, uri, protocol = map(encode_basestring_ascii, asked)
    return f'"method": {method}, "uri": {uri}, "protocol": {protocol}'


_WORKER_LOGGERS = {
    TORCHSERVE.name: (thread_name, MODEL_LOG),
    MMS.name: (mms_thread_name, "com.amazonaws.ml.mms.wlm.WorkerLifeCycle"),
}
"""For each dialect: what names the thread of a worker's line, and the logger of such lines."""


@define(eq=False)
class TextLayout:
    """
    The lines of TorchServe and MMS. Further lines of an event begin with a tab, unlike first lines.

    :param access_format: what is told of an answered request, with ``ACCESS_FIELDS`` in braces; empty: as the
        peers do.
    """

    dialect: str
    access_format: str = ""
    _stamps: Stamps = field(factory=lambda: Stamps("%Y-%m-%dT%H:%M:%S,"), init=False)
    _asked: Memo[Asked, str] = field(factory=lambda: Memo(_as_text, MOST_ASKED), init=False)

    def access(self, requests: Accesses) -> tuple[str, str]:
        """``<time> - <remote> "<method> <uri> <protocol>" <status> <ms>``."""
        moments: list[tuple[str, list[str]]] = []
        messages: list[str] = []
        asked_shown, moment = self._asked, -1
        shown = self._formatted if self.access_format else None
        for request in requests if shown is None else _apart(requests):
            at = request[0]
            if int(at * 1000) != moment:
                moment, messages = int(at * 1000), [""]
                moments.append((self._stamps.show(at), messages))
            if isinstance(request, AlikeAccesses):
                messages += request.lines(asked_shown[request.asked])
            elif shown is None:
                _, remote, asked, status, milliseconds, _, _ = request
                messages.append(f'{remote} "{asked_shown[asked]}" {status} {int(milliseconds)}\n')
            else:
                messages.append(shown(request))
        # The lines of one millisecond begin alike: what stands between two messages is put there at once.
        own = [f"{stamp} - ".join(messages) for stamp, messages in moments]
        start = f" [INFO ] {_THREAD} ACCESS_LOG - "
        return "".join(own), "".join([f"{stamp}{start}".join(messages) for stamp, messages in moments])

    def _formatted(self, request: Access) -> str:
        _, remote, (method, uri, protocol), status, milliseconds, request_id, trace_id = request
        fields = {
            "remote": _quoted(remote),
            "method": _quoted(method),
            "uri": _quoted(uri),
            "protocol": _quoted(protocol),
            "status": status,
            "milliseconds": f"{milliseconds:.3f}",
            "request_id": show_id(request_id).decode() if request_id else "-",
            "trace_id": trace_id or "-",
        }
        return self.access_format.format_map(fields) + "\n"

    def metric(self, logger: str, at: float, line: MetricLine) -> tuple[str, str]:
        """``<time> - <metric>``."""
        stamp, message = self._stamps.show(at), one_line(as_text(line))
        return f"{stamp} - {message}\n", f"{stamp} [INFO ] {_THREAD} {logger} - {message}\n"

    def output(self, event: LogEvent) -> str:
        """``<time> [LEVEL] <thread> <logger> - <line>``."""
        name, logger = _WORKER_LOGGERS[self.dialect]
        thread = one_line(name(event))
        return self._line(event["log_time"], _output_level(event), thread, logger, event["line"])

    def event(self, event: LogEvent) -> str:
        """``<time> [LEVEL] <thread> <logger> - <text>``."""
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if event.get("trace_id"):
            text = f"{text.rstrip()} [trace {event['trace_id']}]"
        level = _LEVELS.get(event.get("log_level"), "INFO")
        thread = one_line(_worker_name(event)) if event.get("worker") and event.get("model") else _THREAD
        return self._line(event["log_time"], level, thread, str(event.get("log_namespace", "-")), text)

    def _line(self, at: float, level: str, thread: str, logger: str, text: str) -> str:
        shown = "\n\t".join([one_line(line) for line in text.rstrip("\n").split("\n")])
        return f"{self._stamps.show(at)} [{level:<5}] {thread} {logger} - {shown}\n"


@define(eq=False)
class JsonLayout:
    """One JSON object to a line, the same in every file."""

    _stamps: Stamps = field(factory=lambda: Stamps("%Y-%m-%dT%H:%M:%S.", "%z"), init=False)
    _asked: Memo[Asked, str] = field(factory=lambda: Memo(_as_members, MOST_ASKED), init=False)

    def access(self, requests: Accesses) -> tuple[str, str]:
        """The request's parts, each by its name."""
        lines: list[str] = []
        asked_shown, moment = self._asked, -1
        for at, remote, asked, status, milliseconds, request_id, trace_id in _apart(requests):
            if int(at * 1000) != moment:
                moment, stamp = int(at * 1000), self._stamps.show(at)
                start = f'{{"time": "{stamp}", "level": "INFO", "logger": "ACCESS_LOG", "remote": '
            lines += (
                start,
                f"{encode_basestring_ascii(remote)}, {asked_shown[asked]}, "
                f'"status": {status}, "milliseconds": {milliseconds:.3f}, '
                f'"request_id": "{show_id(request_id).decode() if request_id else ""}"',
                f', "trace_id": "{trace_id}"}}\n' if trace_id else "}\n",
            )
        text = "".join(lines)
        return text, text

    def metric(self, logger: str, at: float, line: MetricLine) -> tuple[str, str]:
        """The metric with the keys of TorchServe's JSON layout, in the server's log as ``metric``."""
        document = as_json(line)
        return f"{document}\n", self._line(at, "INFO", logger, {"metric": json.loads(document)})

    def output(self, event: LogEvent) -> str:
        """The line as ``message``, and whose it is."""
        fields = {"message": event["line"], **_told_of(event)}
        return self._line(event["log_time"], _output_level(event), MODEL_LOG, fields)

    def event(self, event: LogEvent) -> str:
        """The text as ``message``, a failure's traceback as ``traceback``."""
        fields = {"message": formatEvent(event), **_told_of(event)}
        failure = event.get("log_failure")
        if failure is not None:
            fields["exception"] = f"{failure.type.__name__}: {failure.getErrorMessage()}"
            fields["traceback"] = failure.getTraceback()
        level = _LEVELS.get(event.get("log_level"), "INFO")
        return self._line(event["log_time"], level, str(event.get("log_namespace", "-")), fields)

    def _line(self, at: float, level: str, logger: str, fields: Mapping[str, object]) -> str:
        head = {"time": self._stamps.show(at), "level": level, "logger": logger}
        return json.dumps({**head, **fields}) + "\n"


def _apart(requests: Accesses) -> Iterator[Access]:
    for each in requests:
        if isinstance(each, AlikeAccesses):
            yield from each.apart()
        else:
            yield each


def _told_of(event: LogEvent) -> dict[str, object]:
    return {name: _plain(event[name]) for name in _FIELDS if event.get(name) is not None}


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float) else str(value)
