"""Metrics as lines of a log."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declarations import COUNTER, Declaration
from modelserver.metrics.log_lines import MetricLine, MetricLog, as_json, as_text, one_line

LINE = MetricLine(
    "MyCount", "Count", 2.0, (("ModelName", "noop"), ("Level", "Model")), "vm", 1795317843, "eb73-1"
)


class ShapeTests(SynchronousTestCase):
    """The shape is the one that the peers' tools read."""

    def test_model_metric(self) -> None:
        self.assertEqual(
            as_text(LINE),
            "MyCount.Count:2.0|#ModelName:noop,Level:Model|#hostname:vm,requestID:eb73-1,timestamp:1795317843",
        )

    def test_server_metric(self) -> None:
        line = LINE._replace(name="CPUUtilization", unit="Percent", value=0.0, request_id="")
        line = line._replace(dimensions=(("Level", "Host"),))
        self.assertEqual(
            as_text(line), "CPUUtilization.Percent:0.0|#Level:Host|#hostname:vm,timestamp:1795317843"
        )

    def test_json(self) -> None:
        self.assertEqual(
            json.loads(as_json(LINE)),
            {
                "MetricName": "MyCount",
                "Value": 2.0,
                "Unit": "Count",
                "Dimensions": [
                    {"Name": "ModelName", "Value": "noop"},
                    {"Name": "Level", "Value": "Model"},
                ],
                "HostName": "vm",
                "Timestamp": 1795317843,
                "RequestId": "eb73-1",
            },
        )
        self.assertNotIn("RequestId", json.loads(as_json(LINE._replace(request_id=""))))


class MetricLogTests(SynchronousTestCase):
    """A value becomes a line with the host and the time of now."""

    declaration = Declaration("Hits", COUNTER, "Count", ("Level", "Hostname"))

    def setUp(self) -> None:
        self.lines: list[MetricLine] = []

    def test_value_is_a_double_and_the_host_no_dimension(self) -> None:
        MetricLog("vm", lambda: 7.9, self.lines.append).tell(self.declaration, ("Host",), 3)
        (line,) = self.lines
        self.assertEqual(as_text(line), "Hits.Count:3.0|#Level:Host|#hostname:vm,timestamp:7")

    def test_integer_stays_one_for_multi_model_server(self) -> None:
        log = MetricLog("vm", lambda: 7.9, self.lines.append, keeps_integers=True)
        log.tell(self.declaration, ("Host",), 3)
        log.tell(self.declaration, ("Host",), 3.5, "r", 9.5)
        self.assertEqual(
            [as_text(line).partition("|")[0] for line in self.lines], ["Hits.Count:3", "Hits.Count:3.5"]
        )
        self.assertEqual((self.lines[1].timestamp, self.lines[1].request_id), (9, "r"))


class OneLineTests(SynchronousTestCase):
    """No text can end its line or steer a terminal."""

    def test_control_characters_are_shown(self) -> None:
        self.assertEqual(one_line("a\r\nb\x1b[2Kc\td"), r"a\x0d\x0ab\x1b[2Kc" + "\td")
        self.assertEqual(one_line("\x85\u2028\u202e\U000e0001"), r"\x85\u2028\u202e\U000e0001")
        self.assertEqual(one_line("größer 模型"), "größer 模型")

    @given(st.text())
    def test_one_line_is_one_line(self, text: str) -> None:
        shown = one_line(text)
        self.assertLessEqual(len(shown.splitlines()), 1)
        self.assertTrue(shown.replace("\t", "").isprintable())
