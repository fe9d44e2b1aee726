"""Runs the operator's own sampler of the host (``system_metrics_cmd``): a program whose lines are metrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from attrs import field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from modelserver.interfaces import Command, CommandRunner
from modelserver.language.attributes import define, frozen

# Name.Unit:value|#Dimension:value,...|#hostname:h,seconds; what a handler's line has besides is passed over.
_LINE = re.compile(
    r"([\w ]+)\.([\w ]+):([0-9.,e-]+)"
    r"\|#([^|]*)(?:\|#type:\w+)?"
    r"\|#hostname:([^|,]+),(?:timestamp:)?\d+(?:,.*)?"
)
_SHORTEST_LIMIT = 10.0
"""Seconds that the program has at least, however short the interval: an interpreter must start."""

_log = Logger()


class Reported(NamedTuple):
    """
    One value that the program reported.

    :param dimensions: the values of its dimensions in order; their names do not count.
    :param hostname: the host that the value is of, as the program says.
    """

    name: str
    value: float
    dimensions: tuple[str, ...]
    hostname: str


def parse_line(line: str) -> Reported | None:
    """Return the value in a line of TorchServe's format, or None if the line has another format."""
    found = _LINE.fullmatch(line.strip())
    if found is None:
        return None
    name, _, value, dimensions, hostname = found.groups()
    try:
        number = float(value)
    except ValueError:
        return None
    pairs = dimensions.split(",") if dimensions else []
    return Reported(name, number, tuple(pair.partition(":")[2] for pair in pairs), hostname)


class ReportObserver(Protocol):
    """Takes the values that the program reports."""

    def reported(self, value: Reported) -> None:
        """Take one value."""


@define(eq=False)
class _Output:
    """Reads the output of one run: metrics, up to the first empty line.

    TorchServe's own program writes the workers' memory behind that line; this server samples memory itself.
    """

    observer: ReportObserver
    _is_over: bool = field(default=False, init=False)

    def line(self, line: str) -> None:
        """Take a line of standard output."""
        if self._is_over or not line.strip():
            self._is_over = True
            return
        value = parse_line(line)
        if value is None:
            _log.warn("Parse metrics failed: {line}", line=line)
        else:
            self.observer.reported(value)


def _complain(line: str) -> None:
    _log.error("system_metrics_cmd: {line}", line=line)


@frozen
class SamplingCommand:
    """
    How the program is run.

    :param command: what the operator named, run by Python in the folder of this package, as in TorchServe.
    :param interval: seconds from one start to the next; also the seconds that a run may take.
    """

    command: Sequence[str]
    environment: dict[str, str] = field(repr=False)
    folder: str
    interval: float

    def on(self, pids: Sequence[int]) -> Command:
        """Return the command; the program reads the workers' process ids from its standard input."""
        return Command(
            self.command,
            self.environment,
            max(self.interval, _SHORTEST_LIMIT),
            self.folder,
            (",".join(map(str, pids)) + "\n").encode("ascii"),
        )


@define(eq=False)
class CommandSampler:
    """
    Runs the program at once and then every interval, never two at a time.

    :param pids: the workers' process ids of this moment.
    """

    program: SamplingCommand
    runner: CommandRunner
    clock: IReactorTime
    pids: Callable[[], Sequence[int]]
    observer: ReportObserver
    _running: Deferred[None] | None = field(default=None, init=False)
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._run)
        # Assigned since Twisted's constructor does not take a clock.
        self._loop.clock = self.clock

    def start(self) -> None:
        """Run the program now, and then at every interval."""
        self._loop.start(self.program.interval).addErrback(
            lambda failure: _log.failure("system_metrics_cmd is not run any more", failure)
        )

    def stop(self) -> None:
        """Do not run the program again, and end a run in progress."""
        if self._loop.running:
            self._loop.stop()
        if self._running is not None:
            self._running.cancel()

    def _run(self) -> Deferred[None]:
        self._running = running = Deferred.fromCoroutine(self._run_once())
        return running

    async def _run_once(self) -> None:
        try:
            ended = await self.runner.run(
                self.program.on(self.pids()), _Output(self.observer).line, _complain
            )
        except CancelledError:
            return
        except Exception:  # Whatever it was, the next run may succeed.
            _log.failure("system_metrics_cmd could not be run")
            return
        if ended.is_late:
            _log.error("system_metrics_cmd took too long and was ended")
        elif ended.code != 0:
            _log.error("system_metrics_cmd failed, exit code {code}", code=ended.code)
