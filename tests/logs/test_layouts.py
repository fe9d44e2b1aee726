"""How lines look, and that nobody but the server begins one."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from modelserver.logs.layouts import JsonLayout, Stamps, TextLayout
from modelserver.metrics.log_lines import MetricLine

AT = 1795317843.0625
STAMP = Stamps("%Y-%m-%dT%H:%M:%S,").show(AT)
REQUEST = (AT, "/127.0.0.1:40408", ("POST", "/predictions/noop", "HTTP/1.1"), 200, 43.9, b"", "")
METRIC = MetricLine("QueueTime", "Milliseconds", 2.0, (("Level", "Host"),), "vm", 1795317843)
CLIENT_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def output(line: str = "hello", stream: str = "stdout") -> LogEvent:
    return {
        "log_time": AT,
        "log_level": LogLevel.info,
        "log_namespace": "modelserver.backends.local",
        "log_format": "{line}",
        "model": "noop",
        "version": "1.0",
        "worker": "9000",
        "stream": stream,
        "line": line,
    }


def event(text: str = "all is well", **fields: object) -> LogEvent:
    return {
        "log_time": AT,
        "log_level": LogLevel.info,
        "log_namespace": "modelserver.core.workers.pool",
        "log_format": "{text}",
        "text": text,
        **fields,
    }


def failure() -> Failure:
    try:
        raise ValueError("bad\n2026-11-22T03:24:03,045 [INFO ] main x - forged")
    except ValueError:
        return Failure()


class StampsTests(SynchronousTestCase):
    """The time is local, with milliseconds."""

    def test_shape(self) -> None:
        self.assertTrue(re.fullmatch(r"2026-11-2\dT\d\d:\d\d:03,062", STAMP), STAMP)

    def test_moments(self) -> None:
        stamps = Stamps("%S,")
        shown = [stamps.show(at) for at in (3.0, 3.0005, 3.5, 4.25, 3.75)]
        self.assertEqual(shown, ["03,000", "03,000", "03,500", "04,250", "03,750"])


class TextLayoutTests(SynchronousTestCase):
    """The peers' lines."""

    def setUp(self) -> None:
        self.layout = TextLayout("torchserve")

    def test_access(self) -> None:
        own, root = self.layout.access([REQUEST, REQUEST])
        message = '/127.0.0.1:40408 "POST /predictions/noop HTTP/1.1" 200 43\n'
        self.assertEqual(own, f"{STAMP} - {message}" * 2)
        self.assertEqual(root, f"{STAMP} [INFO ] main ACCESS_LOG - {message}" * 2)

    def test_metric(self) -> None:
        message = "QueueTime.Milliseconds:2.0|#Level:Host|#hostname:vm,timestamp:1795317843\n"
        self.assertEqual(
            self.layout.metric("TS_METRICS", AT, METRIC),
            (f"{STAMP} - {message}", f"{STAMP} [INFO ] main TS_METRICS - {message}"),
        )

    def test_output(self) -> None:
        for stream, level in (("stdout", "INFO "), ("stderr", "WARN ")):
            self.assertEqual(
                self.layout.output(output(stream=stream)),
                f"{STAMP} [{level}] W-9000-noop_1.0-{stream} MODEL_LOG - hello\n",
            )

    def test_output_of_multi_model_server(self) -> None:
        self.assertEqual(
            TextLayout("mms").output(output()),
            f"{STAMP} [INFO ] W-9000-noop-stdout com.amazonaws.ml.mms.wlm.WorkerLifeCycle - hello\n",
        )

    def test_event(self) -> None:
        self.assertEqual(
            self.layout.event(event(log_level=LogLevel.warn)),
            f"{STAMP} [WARN ] main modelserver.core.workers.pool - all is well\n",
        )

    def test_further_lines_begin_with_a_tab(self) -> None:
        first, *more = self.layout.event(event(log_failure=failure())).splitlines()
        self.assertEqual(first, f"{STAMP} [INFO ] main modelserver.core.workers.pool - all is well")
        self.assertGreater(len(more), 2)
        self.assertTrue(all(line.startswith("\t") for line in more), more)

    def test_quote_cannot_end_the_request(self) -> None:
        own, _ = self.layout.access([(AT, "/r", ("GET", '/a" 200 1', "HTTP/1.1"), 404, 1.0, b"", "")])
        self.assertEqual(own, f'{STAMP} - /r "GET /a\\x22 200 1 HTTP/1.1" 404 1\n')

    @given(CLIENT_TEXT, CLIENT_TEXT, CLIENT_TEXT)
    def test_no_client_makes_another_access_line(self, method: str, uri: str, protocol: str) -> None:
        for text in self.layout.access([(AT, "/r", (method, uri, protocol), 200, 1.0, b"", "")]):
            self.assertEqual(len(text.splitlines()), 1)
            self.assertEqual(text.count('"'), 2)
            self.assertTrue(text[:-1].isprintable() or "\t" in text)

    @given(CLIENT_TEXT)
    def test_no_text_makes_another_first_line(self, text: str) -> None:
        shown = self.layout.event(event(text)) + self.layout.output(output(text))
        stamped = [line for line in shown.splitlines() if not line.startswith("\t")]
        self.assertEqual(len(stamped), 2)
        dimensions = (("Level", text),)
        own, root = self.layout.metric("X", AT, METRIC._replace(dimensions=dimensions, request_id=text))
        self.assertEqual((len(own.splitlines()), len(root.splitlines())), (1, 1))


class JsonLayoutTests(SynchronousTestCase):
    """One object to a line."""

    def setUp(self) -> None:
        self.layout = JsonLayout()

    def test_access(self) -> None:
        own, root = self.layout.access([(*REQUEST[:5], bytes(15) + b"\x73", "")])
        self.assertEqual(own, root)
        read = json.loads(own)
        self.assertTrue(re.fullmatch(r"2026-11-2\dT\d\d:\d\d:03\.062[+-]\d{4}", read.pop("time")))
        self.assertEqual(
            read,
            {
                "level": "INFO",
                "logger": "ACCESS_LOG",
                "remote": "/127.0.0.1:40408",
                "method": "POST",
                "uri": "/predictions/noop",
                "protocol": "HTTP/1.1",
                "status": 200,
                "milliseconds": 43.9,
                "request_id": "00000000-0000-0000-0000-000000000073",
            },
        )

    def test_metric(self) -> None:
        own, root = self.layout.metric("TS_METRICS", AT, METRIC)
        self.assertEqual(json.loads(own)["MetricName"], "QueueTime")
        self.assertEqual(json.loads(root)["metric"], json.loads(own))

    def test_output(self) -> None:
        read = json.loads(self.layout.output(output(stream="stderr")))
        del read["time"]
        self.assertEqual(
            read,
            {
                "level": "WARN",
                "logger": "MODEL_LOG",
                "message": "hello",
                "model": "noop",
                "version": "1.0",
                "worker": "9000",
                "stream": "stderr",
            },
        )

    def test_event_with_a_failure(self) -> None:
        text = self.layout.event(event(log_failure=failure(), request_id="r1", worker=object))
        self.assertEqual(text.count("\n"), 1)
        read = json.loads(text)
        self.assertEqual((read["message"], read["request_id"]), ("all is well", "r1"))
        self.assertTrue(read["exception"].startswith("ValueError: bad"))
        self.assertIn("Traceback", read["traceback"])

    @given(CLIENT_TEXT)
    def test_whatever_comes_is_one_line(self, text: str) -> None:
        own, _ = self.layout.access([(AT, text, (text, text, text), 200, 1.0, b"", "")])
        self.assertEqual(len(own.splitlines()), 1)
        self.assertEqual(json.loads(own)["uri"], text)
        self.assertEqual(json.loads(self.layout.output(output(text)))["message"], text)
