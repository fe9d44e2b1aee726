"""Calls that are over are in the access log as TorchServe has them, and are counted by method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.logs.layouts import Access, AlikeAccesses
from modelserver.logs.writer import LogInputs, Logs, LogSettings
from modelserver.rpc.call_log import CallLog
from modelserver.rpc.codes import Code
from modelserver.testing.providers import CountingRecorder
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.metrics import Server

PREDICT = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"


class Nowhere:
    """An access log that keeps nothing."""

    def now(self) -> float:
        """Return the beginning of the epoch."""
        return 0.0

    def record_all(self, answered: Sequence[Access]) -> None:
        """Drop them."""

    def record_alike(self, answered: AlikeAccesses) -> None:
        """Drop them."""


class AccessLineTests(SynchronousTestCase):
    """The line of a call."""

    def line_of(self, path: str, code: Code, is_json: bool = False) -> str:
        """What the access log has after one call, without its time."""
        with TemporaryDirectory() as folder:
            clock = Clock()
            logs = Logs(
                LogSettings(Path(folder), Path(folder), "torchserve", is_json=is_json),
                LogInputs(clock, clock.seconds, lambda call: call()),
            )
            logs.open()
            call = MemoryCall(path, peer="/127.0.0.1:45282", request_id=bytes(range(16)))
            CallLog(logs.access, CountingRecorder(), [PREDICT]).ended(((call, code),), 0.0123)
            logs.close()
            return (Path(folder) / "access_log.log").read_text("utf-8")

    def test_peers_format(self) -> None:
        _, _, message = self.line_of(PREDICT, Code.OK).partition(" - ")
        self.assertEqual(
            message,
            '/127.0.0.1:45282 "gRPC org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions '
            'HTTP/2.0" 0 12\n',
        )

    def lines_of(self, milliseconds: Sequence[int], **more: Any) -> list[str]:
        """What the access log has, behind the times, of calls that have ended together."""
        with TemporaryDirectory() as folder:
            clock = Clock()
            settings = LogSettings(Path(folder), Path(folder), "torchserve", **more)
            logs = Logs(settings, LogInputs(clock, clock.seconds, lambda call: call()))
            logs.open()
            calls = [
                MemoryCall(PREDICT, peer="/r", request_id=bytes([place]) * 16, arrived=-each / 1024)
                for place, each in enumerate(milliseconds)
            ]
            log = CallLog(logs.access, CountingRecorder(), [PREDICT])
            log.ended([(call, Code.OK) for call in calls], 0.0)
            self.assertEqual(len(calls), logs.access.waiting)
            logs.close()
            texts = [(Path(folder) / name).read_text("utf-8") for name in ("access_log.log", "ts_log.log")]
        own, root = [text.splitlines() for text in texts]
        self.assertEqual(len(own), len([line for line in root if "ACCESS_LOG" in line]))
        return own

    def test_calls_that_end_together_have_a_line_each_in_their_order(self) -> None:
        # By a clock that counts 1,024 to a second, what the line shows is rounded down.
        for milliseconds in ((9, 9, 9, 5, 5, 9, 3), (9, 5, 9)):
            shown = [line.rpartition(" ")[2] for line in self.lines_of(milliseconds)]
            self.assertEqual([str(each * 1000 // 1024) for each in milliseconds], shown)

    def test_calls_that_end_together_keep_their_own_ids(self) -> None:
        for more in ({"is_json": True}, {"access_format": "{request_id}"}):
            lines = self.lines_of((9,) * 6, **more)
            for place, line in enumerate(lines):
                self.assertIn(f"{place:02x}" * 4 + "-", line)

    def test_unknown_paths_are_shown_as_they_came(self) -> None:
        self.assertIn(
            '"gRPC no.Such/Thing HTTP/2.0" 12 12', self.line_of("/no.Such/Thing", Code.UNIMPLEMENTED)
        )
        self.assertIn('"gRPC a\\x22\\x0a HTTP/2.0" 12', self.line_of('a"\n', Code.UNIMPLEMENTED))

    def test_the_request_id_is_in_json_lines(self) -> None:
        self.assertIn(
            '"request_id": "00010203-0405-0607-0809-0a0b0c0d0e0f"',
            self.line_of(PREDICT, Code.OK, is_json=True),
        )


class CountTests(SynchronousTestCase):
    """What a scrape has."""

    def test_calls_by_method_and_code(self) -> None:
        server = Server()
        log = CallLog(Nowhere(), server.instruments, [PREDICT])
        ended = (
            (PREDICT, Code.OK),
            (PREDICT, Code.OK),
            (PREDICT, Code.UNAVAILABLE),
            ("/x.Y/Z", Code.UNIMPLEMENTED),
            (PREDICT[1:], Code.UNIMPLEMENTED),
        )
        log.ended([(MemoryCall(path, received=10, sent=20), code) for path, code in ended], 0.2)
        name, scraped = PREDICT[1:], server.scrape()
        for line in (
            f'modelserver_grpc_calls_total{{method="{name}",code="OK",}} 2.0',
            f'modelserver_grpc_calls_total{{method="{name}",code="UNAVAILABLE",}} 1.0',
            'modelserver_grpc_calls_total{method="",code="UNIMPLEMENTED",} 2.0',
            f'modelserver_grpc_call_seconds_bucket{{method="{name}",le="0.1",}} 0.0',
            f'modelserver_grpc_call_seconds_bucket{{method="{name}",le="0.25",}} 3.0',
            f'modelserver_grpc_call_seconds_count{{method="{name}",}} 3.0',
            f'modelserver_grpc_received_bytes_total{{method="{name}",}} 30.0',
            f'modelserver_grpc_sent_bytes_total{{method="{name}",}} 60.0',
        ):
            self.assertIn(line, scraped)
        self.assertFalse(
            [line for line in scraped if line.startswith("Requests")]
        )  # of HTTP, as in TorchServe
