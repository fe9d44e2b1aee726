"""Who writes into which file, and when."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.output import OUTPUT_NAMESPACE
from modelserver.logs.flush_pace import LONGEST_WAIT
from modelserver.logs.writer import MOST_WAITING, LogInputs, Logs, LogSettings
from modelserver.metrics.log_lines import MetricLine
from modelserver.testing.providers import START_OF_TIME

METRIC = MetricLine("QueueTime", "Milliseconds", 2.0, (("Level", "Host"),), "vm", 1795317843)


class KeptConsole(StringIO):
    """What was written, also after the end."""

    def close(self) -> None:
        pass


class Server:
    """Logs in a folder of their own, with a clock."""

    def __init__(self, **settings: object) -> None:
        self.clock, self.console = Clock(), KeptConsole()
        self.elsewhere: list[Callable[[], None]] = []
        self.folder, self.metrics_folder = Path(mkdtemp()), Path(mkdtemp())
        self.logs = Logs(
            LogSettings(self.folder, self.metrics_folder, **settings),  # type: ignore[arg-type]
            LogInputs(
                self.clock, lambda: START_OF_TIME + self.clock.seconds(), self.elsewhere.append, self.console
            ),
        )

    def log(self, namespace: str = "modelserver.core.workers.pool") -> Logger:
        """A logger that only these logs hear."""
        return Logger(namespace=namespace, observer=self.logs.observer)

    def print_line(self, line: str, stream: str = "stdout") -> None:
        """What the backend logs when a worker writes a line."""
        self.log(OUTPUT_NAMESPACE).info(
            "{line}", line=line, stream=stream, model="noop", version="1.0", worker="9000"
        )

    def request(self, uri: str = "/predictions/noop") -> None:
        """One request that was answered."""
        self.logs.access.record("/127.0.0.1:40408", ("POST", uri, "HTTP/1.1"), 200, 43.5, b"")

    def messages(self, name: str) -> list[str]:
        """The lines of a file without their times."""
        path = self.metrics_folder / name if "metrics" in name else self.folder / name
        return [line.partition(" ")[2] for line in path.read_text().splitlines()]


class FilesTests(SynchronousTestCase):
    """Each line goes into the file of its kind, into the server's log, and to the console."""

    def setUp(self) -> None:
        self.server = Server()
        self.logs = self.server.logs
        self.addCleanup(self.logs.close)

    def test_files_are_there_from_the_start(self) -> None:
        self.logs.open()
        names = [path.name for path in (*self.server.folder.iterdir(), *self.server.metrics_folder.iterdir())]
        self.assertEqual(
            sorted(names),
            ["access_log.log", "model_log.log", "model_metrics.log", "ts_log.log", "ts_metrics.log"],
        )

    def test_every_kind(self) -> None:
        self.server.request()
        self.server.print_line("hello")
        self.server.print_line("oh", "stderr")
        self.logs.server_metric(METRIC)
        self.logs.model_metric(METRIC._replace(request_id="r1"))
        self.server.log().info("Model server started.")
        self.logs.flush()
        access = '/127.0.0.1:40408 "POST /predictions/noop HTTP/1.1" 200 43'
        metric = "QueueTime.Milliseconds:2.0|#Level:Host|#hostname:vm,{}timestamp:1795317843"
        output = [
            "[INFO ] W-9000-noop_1.0-stdout MODEL_LOG - hello",
            "[WARN ] W-9000-noop_1.0-stderr MODEL_LOG - oh",
        ]
        self.assertEqual(self.server.messages("access_log.log"), [f"- {access}"])
        self.assertEqual(self.server.messages("model_log.log"), output)
        self.assertEqual(self.server.messages("ts_metrics.log"), [f"- {metric.format('')}"])
        self.assertEqual(self.server.messages("model_metrics.log"), [f"- {metric.format('requestID:r1,')}"])
        everything = [
            *output,
            f"[INFO ] main TS_METRICS - {metric.format('')}",
            f"[INFO ] main MODEL_METRICS - {metric.format('requestID:r1,')}",
            "[INFO ] main modelserver.core.workers.pool - Model server started.",
            f"[INFO ] main ACCESS_LOG - {access}",
        ]
        self.assertEqual(self.server.messages("ts_log.log"), everything)
        self.assertEqual(self.server.console.getvalue(), (self.server.folder / "ts_log.log").read_text())

    def test_multi_model_server(self) -> None:
        server = Server(dialect="mms")
        server.logs.open()
        server.print_line("hello")
        server.logs.server_metric(METRIC)
        server.logs.close()
        self.assertEqual(server.messages("model_log.log"), [])
        self.assertEqual(len(server.messages("mms_metrics.log")), 1)
        self.assertEqual(
            [line.rpartition(" - ")[0] for line in server.messages("mms_log.log")],
            [
                "[INFO ] W-9000-noop-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle",
                "[INFO ] main MMS_METRICS",
            ],
        )

    def test_json(self) -> None:
        server = Server(is_json=True)
        server.request()
        server.print_line("hello")
        server.logs.close()
        self.assertEqual(json.loads((server.folder / "access_log.log").read_text())["status"], 200)
        self.assertEqual(json.loads((server.folder / "model_log.log").read_text())["model"], "noop")

    def test_debug_lines_only_if_wanted(self) -> None:
        for debugs, expected in ((False, 1), (True, 2)):
            server = Server(debugs=debugs)
            for namespace in ("modelserver.core.workers.pool", "twisted.web"):
                server.log(namespace).debug("detail")
            server.log().info("all is well")
            server.logs.close()
            self.assertEqual(len(server.messages("ts_log.log")), expected)


class BatchingTests(SynchronousTestCase):
    """Lines wait for others, but not for long, and never too many."""

    def test_metrics_are_in_their_file_with_the_request_that_they_count(self) -> None:
        self.assertLess(LONGEST_WAIT, 0.05)
        self.server.logs.collect = lambda: self.server.logs.server_metric(METRIC)
        self.server.request()
        self.assertEqual(self.server.messages("ts_metrics.log"), [])
        self.server.clock.advance(0)
        self.assertEqual(len(self.server.messages("access_log.log")), 1)
        self.assertEqual(len(self.server.messages("ts_metrics.log")), 1)
        self.assertEqual(len(self.server.messages("ts_log.log")), 2)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def setUp(self) -> None:
        self.server = Server()
        self.addCleanup(self.server.logs.close)
        self.server.logs.open()

    def requests(self) -> int:
        return len(self.server.messages("access_log.log"))

    def test_few_lines_are_written_at_once(self) -> None:
        """A client that has its answer finds the line."""
        for number in range(30):
            self.server.request()
            self.assertEqual(self.requests(), number)
            self.server.clock.advance(0)
            self.assertEqual(self.requests(), number + 1)
            self.server.clock.advance(0.01)

    def keep_busy(self) -> None:
        """Let many lines come at once."""
        for _ in range(MOST_WAITING - 1):
            self.server.request()
        self.server.clock.advance(0)
        (self.server.folder / "access_log.log").write_text("")

    def test_few_lines_of_handlers_are_written_before_their_answers_leave(self) -> None:
        """A client that has its answer finds them, however soon it looks."""
        for number in range(30):
            self.server.logs.model_metric(METRIC)
            self.assertEqual(len(self.server.messages("model_metrics.log")), number)
            self.server.logs.model_told()
            self.assertEqual(len(self.server.messages("model_metrics.log")), number + 1)
            self.server.clock.advance(0)
            self.server.clock.advance(0.01)
        self.assertEqual(len(self.server.messages("ts_log.log")), 30)

    def test_many_lines_of_handlers_wait_for_others(self) -> None:
        for _ in range(20):
            self.server.logs.model_metric(METRIC)
            self.server.logs.model_told()
            self.server.clock.advance(0)
        written = len(self.server.messages("model_metrics.log"))
        self.assertLess(written, 20)
        self.server.clock.advance(LONGEST_WAIT)
        self.assertEqual(len(self.server.messages("model_metrics.log")), 20)

    def test_handler_that_has_told_nothing_has_nothing_written(self) -> None:
        self.server.logs.model_told()
        self.assertEqual(self.server.messages("model_metrics.log"), [])

    def test_lines_are_written_together_where_there_are_many(self) -> None:
        self.keep_busy()
        self.server.request()
        self.server.clock.advance(LONGEST_WAIT / 2)
        self.server.request()
        self.assertEqual(self.requests(), 0)
        self.server.clock.advance(LONGEST_WAIT / 2)
        self.assertEqual(self.requests(), 2)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])
        self.server.request()
        self.server.clock.advance(LONGEST_WAIT)
        self.assertEqual(self.requests(), 3)

    def test_time_is_that_of_the_answer(self) -> None:
        self.keep_busy()
        self.server.request("/a")
        self.server.clock.advance(LONGEST_WAIT / 2)
        self.server.request("/b")
        self.server.logs.flush()
        first, second = (self.server.folder / "access_log.log").read_text().splitlines()
        self.assertNotEqual(first.partition(" ")[0], second.partition(" ")[0])

    def test_number_that_waits_is_bounded(self) -> None:
        for _ in range(MOST_WAITING * 3 + 1):
            self.server.request()
        self.assertEqual(self.requests(), MOST_WAITING * 3)
        self.server.logs.flush()
        self.assertEqual(self.requests(), MOST_WAITING * 3 + 1)

    def test_errors_are_written_at_once(self) -> None:
        self.server.log().error("it broke")
        self.assertEqual(len(self.server.messages("ts_log.log")), 1)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_events_of_other_threads_come_by_the_reactor(self) -> None:
        thread = Thread(target=lambda: self.server.log().info("done"))
        thread.start()
        thread.join(60)
        self.server.logs.flush()
        self.assertEqual(self.server.messages("ts_log.log"), [])
        for call in self.server.elsewhere:
            call()
        self.server.logs.flush()
        self.assertEqual(len(self.server.messages("ts_log.log")), 1)

    def test_folder_that_cannot_be_written_stops_nobody(self) -> None:
        server = Server()
        blocked = server.folder / "model_log.log"
        blocked.mkdir()
        server.print_line("hello")
        server.logs.close()
        self.assertEqual(len(server.messages("ts_log.log")), 1)
