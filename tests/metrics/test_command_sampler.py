"""The operator's own sampler: what its lines say, and when it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from modelserver.interfaces import Command, Finished
from modelserver.metrics.command_sampler import CommandSampler, Reported, SamplingCommand, parse_line

LINES: tuple[tuple[str, Reported | None], ...] = (
    (
        "CPUUtilization.Percent:12.5|#Level:Host|#hostname:vm,1700000000",
        Reported("CPUUtilization", 12.5, ("Host",), "vm"),
    ),
    (
        "CPUUtilization.Percent:12.5|#Level:Host|#hostname:vm,timestamp:1700000000",
        Reported("CPUUtilization", 12.5, ("Host",), "vm"),
    ),
    (
        "GPUUtilization.Percent:1|#Level:Host,DeviceId:0|#hostname:vm,1700000000",
        Reported("GPUUtilization", 1.0, ("Host", "0"), "vm"),
    ),
    (
        "MemoryAvailable.Megabytes:5e1|#type:GAUGE|#hostname:vm,1700000000",
        Reported("MemoryAvailable", 50.0, ("GAUGE",), "vm"),
    ),
    (
        "MemoryUtilization.Percent:34|#Level:Host|#type:GAUGE|#hostname:vm,1700000000",
        Reported("MemoryUtilization", 34.0, ("Host",), "vm"),
    ),
    (
        "DiskAvailable.Bananas:7.0|#Foo:Host|#hostname:vm,1700000000,abc",
        Reported("DiskAvailable", 7.0, ("Host",), "vm"),
    ),
    ("DiskUtilization.Percent:70|#Level:Host|#hostname:vm", None),
    ("rubbish line", None),
    ("[METRICS]MemoryUtilization.Percent:33|#Level:Host|#hostname:vm,1700000000", None),
    ("MemoryUtilization.Percent:3-3|#Level:Host|#hostname:vm,1700000000", None),
    ("MemoryUtilization.Percent:nan|#Level:Host|#hostname:vm,1700000000", None),
)
"""What TorchServe 0.12 was seen to take of a line, and what it does not take for one."""


class LineTests(SynchronousTestCase):
    """The peers' format."""

    def test_lines(self) -> None:
        for line, wanted in LINES:
            self.assertEqual(parse_line(line), wanted, line)
            self.assertEqual(parse_line(f" {line}\r"), wanted, line)


@define(eq=False)
class ScriptedRunner:
    """Programs whose output and end are the test's."""

    asked: list[Command] = field(factory=list)
    running: list[Deferred[Finished]] = field(factory=list)
    ended: list[str] = field(factory=list)
    report: Callable[[str], None] = field(init=False)
    complain: Callable[[str], None] | None = field(init=False)

    def run(
        self,
        command: Command,
        report: Callable[[str], None],
        complain: Callable[[str], None] | None = None,
    ) -> Deferred[Finished]:
        """Note a command."""
        self.asked.append(command)
        self.report, self.complain = report, complain
        running: Deferred[Finished] = Deferred(lambda _: self.ended.append("killed"))
        self.running.append(running)
        return running


class CommandSamplerTests(SynchronousTestCase):
    """It runs at once and then at intervals; its metrics are told, its complaints are logged."""

    def setUp(self) -> None:
        self.clock, self.runner = Clock(), ScriptedRunner()
        self.values: list[Reported] = []
        program = SamplingCommand(("python", "s.py", "--x"), {"A": "1"}, "/home", 20.0)
        self.sampler = CommandSampler(program, self.runner, self.clock, lambda: [41, 42], self)
        self.sampler.start()
        self.addCleanup(self.sampler.stop)

    def reported(self, value: Reported) -> None:
        """Keep it."""
        self.values.append(value)

    def texts(self, events: Sequence[LogEvent]) -> list[str | None]:
        return [formatEvent(event) for event in events]

    def test_it_is_given_the_workers(self) -> None:
        self.assertEqual(
            self.runner.asked, [Command(("python", "s.py", "--x"), {"A": "1"}, 20.0, "/home", b"41,42\n")]
        )

    def test_a_short_interval_leaves_it_time_to_start(self) -> None:
        self.assertEqual(SamplingCommand(("python",), {}, "/", 1.0).on([])[2:], (10.0, "/", b"\n"))

    def test_metrics_end_at_an_empty_line(self) -> None:
        with capturedLogs() as events:
            for line in (LINES[0][0], "rubbish", LINES[2][0], "", "41:12345", LINES[0][0]):
                self.runner.report(line)
        self.assertEqual(self.values, [LINES[0][1], LINES[2][1]])
        self.assertEqual(self.texts(events), ["Parse metrics failed: rubbish"])

    def test_each_run_begins_with_metrics(self) -> None:
        self.runner.report("")
        self.runner.running.pop().callback(Finished(0, ()))
        self.clock.advance(20)
        self.runner.report(LINES[0][0])
        self.assertEqual(self.values, [LINES[0][1]])

    def test_one_at_a_time(self) -> None:
        self.clock.advance(70)
        self.assertEqual(len(self.runner.asked), 1)
        self.runner.running.pop().callback(Finished(0, ()))
        self.clock.advance(10)
        self.assertEqual(len(self.runner.asked), 2)

    def test_what_goes_wrong_is_logged_and_it_runs_again(self) -> None:
        ends: tuple[tuple[Finished | Exception, str], ...] = (
            (Finished(3, ()), "system_metrics_cmd failed, exit code 3"),
            (Finished(None, (), is_late=True), "system_metrics_cmd took too long and was ended"),
            (OSError("no process"), "system_metrics_cmd could not be run"),
        )
        for end, told in ends:
            with capturedLogs() as events:
                ended = self.runner.running.pop()
                if isinstance(end, Finished):
                    ended.callback(end)
                else:
                    ended.errback(end)
            self.assertEqual(self.texts(events), [told])
            self.clock.advance(20)
        self.assertEqual(len(self.runner.asked), 4)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_its_standard_error_is_logged(self) -> None:
        assert self.runner.complain is not None
        with capturedLogs() as events:
            self.runner.complain("no nvidia-smi")
        self.assertEqual(self.texts(events), ["system_metrics_cmd: no nvidia-smi"])

    def test_stop_ends_it(self) -> None:
        self.sampler.stop()
        self.assertEqual(self.runner.ended, ["killed"])
        self.assertEqual(self.flushLoggedErrors(CancelledError), [])
        self.clock.advance(100)
        self.assertEqual(len(self.runner.asked), 1)
