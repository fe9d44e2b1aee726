"""Debian's Prometheus scrapes a real server, as it asks by itself; promtool reads what it gets."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import skipIf
from urllib.parse import quote

import pytest
import yaml

from tests.harness.collector import Collector
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually, free_ports
from tests.integration.test_core import ECHO

pytestmark = pytest.mark.slow

LACK = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]


class Prometheus:
    """A Prometheus that scrapes one server every second."""

    def __init__(self, folder: Path, target: str) -> None:
        (self.port,) = free_ports(1)
        job = {"job_name": "server", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
        configuration = folder / "prometheus.yml"
        configuration.write_text(yaml.safe_dump({"scrape_configs": [job]}), "utf-8")
        words = [
            *("prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"),
            *(f"--web.listen-address={HOST}:{self.port}", "--enable-feature=exemplar-storage"),
        ]
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(words, stdout=self.log, stderr=subprocess.STDOUT)

    def end(self) -> None:
        """Have it end."""
        self.process.kill()
        self.process.wait(LONGEST)
        self.log.close()

    def get(self, path: str) -> Any:
        """What its API answers; None while it does not."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=LONGEST)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())["data"]
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def target(self) -> Mapping[str, str]:
        """How the last scrape went, as soon as there was one."""

        def look() -> Mapping[str, str]:
            found = (self.get("/api/v1/targets") or {}).get("activeTargets", [])
            return found[0] if found and found[0]["health"] != "unknown" else {}

        return eventually(look)

    def value(self, query: str) -> float:
        """The value of a query with one result, as soon as there is one."""

        def look() -> list[Any]:
            found: list[Any] = (self.get(f"/api/v1/query?query={quote(query)}") or {}).get("result", [])
            return found

        return float(eventually(look)[0]["value"][1])


@skipIf(LACK, f"not installed: {', '.join(LACK)}")
class PrometheusTests(ServerTests):
    """What Prometheus makes of the page, in both of its formats."""

    def scrape(self, server: ServerProcess) -> Prometheus:
        """Have a server scraped."""
        folder = TemporaryDirectory(prefix="prometheus-")
        self.addCleanup(folder.cleanup)
        prometheus = Prometheus(Path(folder.name), f"{HOST}:{server.ports[2]}")
        self.addCleanup(prometheus.end)
        return prometheus

    def test_default_mode(self) -> None:
        server = self.start(models={"echo": ECHO})
        self.assert_ok(server.register("echo.mar"))
        self.assert_ok(server.predict("echo", b"x"))
        prometheus = self.scrape(server)
        self.assertEqual(("up", ""), (prometheus.target()["health"], prometheus.target()["lastError"]))
        self.assertEqual(1, prometheus.value('modelserver_workers{model="echo",state="ready"}'))
        self.assertEqual(1, prometheus.value('modelserver_request_seconds_count{model="echo"}'))
        text = server.scrape().encode()
        check = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, timeout=LONGEST, check=False
        )
        self.assertEqual((0, b""), (check.returncode, check.stdout + check.stderr))

    def test_openmetrics_with_exemplars(self) -> None:
        collector = Collector()
        self.addCleanup(collector.close)
        server = self.start(
            {"otel_exporter_otlp_endpoint": collector.endpoint, "metrics_mode": "prometheus"},
            models={"echo": ECHO},
        )
        self.assert_ok(server.register("echo.mar"))
        self.assert_ok(server.predict("echo", b"x"))
        prometheus = self.scrape(server)
        self.assertEqual(("up", ""), (prometheus.target()["health"], prometheus.target()["lastError"]))
        self.assertEqual(1, prometheus.value('modelserver_request_seconds_count{model="echo"}'))
        self.assertEqual(1, prometheus.value('sum(ts_inference_requests_total{model_name="echo"})'))
        query = quote("modelserver_request_seconds_bucket")
        path = f"/api/v1/query_exemplars?query={query}&start=0&end=4000000000"
        (series,) = eventually(lambda: prometheus.get(path) or [])
        (exemplar,) = series["exemplars"]
        traces = {span.trace_id.hex() for span in collector.wait_for("POST /predictions/{model_name}")}
        self.assertEqual(traces, {exemplar["labels"]["trace_id"]})
