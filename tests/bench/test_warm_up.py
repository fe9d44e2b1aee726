"""How first requests compare with the tenth, and the archive that is asked."""

from __future__ import annotations

import json
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from unittest import TestCase

import yaml

from bench.target import TargetFailed
from bench.warm_up import REQUESTS, WAYS, WIDTH, Start, ask, median_ratio, sheet, write_archive
from modelserver.archive.pt2_section import compile_options
from modelserver.archive.warm_up_section import read_warm_up


def start(way: str, first: float) -> Start:
    """Return a start whose requests but the first took 10 ms."""
    return Start(way, 2.0, (first, *[0.01] * 9))


STARTS = [start("warmup", each) for each in (0.01, 0.011, 0.03)] + [start("no warmup", 2.0)]


class RatioTests(TestCase):
    """The figure is a median over starts of the same way."""

    def test_the_median_over_the_starts_of_a_way(self) -> None:
        self.assertAlmostEqual(median_ratio(STARTS, "warmup"), 1.1)
        self.assertAlmostEqual(median_ratio(STARTS, "no warmup"), 200.0)

    def test_the_table_has_a_row_for_each_way(self) -> None:
        made = sheet(STARTS)
        rows = [dict(zip(made.columns, row, strict=True)) for row in made.rows]
        self.assertEqual([row["model-config.yaml"] for row in rows], ["warmup", "no warmup"])
        self.assertEqual((rows[0]["first ms"], rows[0]["tenth ms"]), ("11.00", "10.00"))
        self.assertEqual((rows[0]["first / tenth"], rows[0]["from to"]), ("1.10", "1.00 to 3.00"))
        self.assertEqual((rows[1]["starts"], rows[1]["first / tenth"]), ("1", "200.00"))


class ArchiveTests(TestCase):
    """What is served."""

    def test_each_way_is_compiled_and_one_warms_up_with_a_file_that_is_there(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for way, config in WAYS.items():
                made = write_archive(Path(folder), way, config)
                model = json.loads((made / "MAR-INF" / "MANIFEST.json").read_text())["model"]
                self.assertTrue((made / model["modelFile"]).is_file())
                told = yaml.safe_load((made / model["configFile"]).read_text())
                self.assertEqual(compile_options(told), {"backend": "inductor"})
                if "warmup" in told:
                    example = made / str(read_warm_up(told["warmup"], 1).file)
                    self.assertEqual(len(json.loads(example.read_text())), WIDTH)
        self.assertEqual([way for way, config in WAYS.items() if "warmup" in config], ["warmup"])


class AskTests(TestCase):
    """All requests find the same: a connection that has served before."""

    def asked(self, path: str) -> list[tuple[str, str, tuple[str, int]]]:
        """Ask a server that knows one model; returns what it saw: methods, paths, clients' addresses."""
        seen = []

        class Front(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                seen.append((self.command, self.path, self.client_address))
                self.send_response(200 if self.path in ("/ping", "/predictions/there") else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                """Keep the tests' output clean."""

        with HTTPServer(("127.0.0.1", 0), Front) as server:
            serving = Thread(target=server.serve_forever, daemon=True)
            serving.start()
            try:
                self.assertEqual(len(list(ask(server.server_port, path, 0.0))), REQUESTS)
            finally:
                server.shutdown()
                serving.join(10)
        return seen

    def test_one_connection_whose_first_answer_is_not_a_prediction(self) -> None:
        seen = self.asked("/predictions/there")
        self.assertEqual([method for method, _, _ in seen], ["GET", *["POST"] * REQUESTS])
        self.assertEqual((seen[0][1], {path for _, path, _ in seen[1:]}), ("/ping", {"/predictions/there"}))
        self.assertEqual(len({client for _, _, client in seen}), 1)

    def test_a_refused_request_ends_it(self) -> None:
        self.assertRaises(TargetFailed, self.asked, "/predictions/gone")
