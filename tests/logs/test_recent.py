"""The last lines of the log, by level."""

from __future__ import annotations

from twisted.logger import LogEvent, Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.output import OUTPUT_NAMESPACE
from modelserver.logs.recent import KEPT, LONGEST, RecentLines


class RecentLinesTests(SynchronousTestCase):
    """What is kept, and how much of it."""

    def setUp(self) -> None:
        self.recent = RecentLines()
        self.log = Logger("modelserver.test", observer=self.recent)
        self.output = Logger(OUTPUT_NAMESPACE, observer=self.recent)

    def write(self, line: str, stream: str = "stdout") -> None:
        self.output.info("{line}", line=line, stream=stream, model="noop", version="1.0", worker="9000")

    def shown(self, number: int = 0) -> list[tuple[str, str, str]]:
        return [(line.level, line.source, line.text) for line in self.recent.since(number)]

    def test_lines_of_the_server_and_of_workers(self) -> None:
        self.log.info("Model {model} loaded.", model="noop")
        self.log.critical("worse")
        self.write("<b>hello</b> {x}")
        self.write("oh", "stderr")
        self.assertEqual(
            self.shown(),
            [
                ("info", "", "Model noop loaded."),
                ("error", "", "worse"),
                ("info", "noop 1.0, worker 9000", "<b>hello</b> {x}"),
                ("warn", "noop 1.0, worker 9000", "oh"),
            ],
        )

    def test_debug_lines_are_left_out(self) -> None:
        self.log.debug("much")
        self.assertEqual(self.shown(), [])

    def test_a_talkative_worker_drives_nothing_of_the_server_out(self) -> None:
        self.log.error("the first")
        for number in range(10 * KEPT):
            self.write(str(number))
            self.log.info("{number}", number=number)
        lines = self.shown()
        self.assertEqual(lines[0], ("error", "", "the first"))
        self.assertEqual(len(lines), 1 + 2 * KEPT)

    def test_since_a_number(self) -> None:
        for word in ("one", "two", "three"):
            self.log.warn(word)
        first = self.recent.since(0)[0]
        self.assertEqual([text for _, _, text in self.shown(first.number)], ["two", "three"])

    def test_long_lines_are_cut_at_their_beginning(self) -> None:
        self.log.info("{text}", text="a" * LONGEST + "the end")
        ((_, _, text),) = self.shown()
        self.assertEqual((len(text), text[-7:]), (LONGEST, "the end"))

    def test_a_failure_has_its_traceback(self) -> None:
        event: LogEvent = {
            "log_level": LogLevel.critical,
            "log_format": "It failed",
            "log_failure": Failure(ZeroDivisionError("by nothing")),
        }
        self.recent(event)
        ((level, _, text),) = self.shown()
        self.assertEqual(level, "error")
        self.assertIn("ZeroDivisionError: by nothing", text)
