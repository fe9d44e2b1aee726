"""The Grafana dashboard and the Prometheus alerts use metrics that exist, and Prometheus takes the alerts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp
from unittest import SkipTest

import yaml
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declaration_files import load
from modelserver.metrics.host_sampler import HostValue
from modelserver.metrics.recorder import PROMETHEUS, MetricsInputs, MetricsRecorder, MetricsSettings
from modelserver.spec import VersionDescription, WorkerDescription, WorkerState
from modelserver.testing.providers import START_OF_TIME, make_spec

FOLDER = Path(__file__).parents[2] / "etc"
DASHBOARD, ALERTS = FOLDER / "grafana-dashboard.json", FOLDER / "prometheus-alerts.yml"
METRIC = re.compile(r"\b(?:modelserver_\w+|ts_\w+|[A-Z]\w*Utilization|Requests\dXX)\b")
SCENES = {
    "evaluation_interval": "1m",
    "tests": [
        {
            "name": "no worker is ready for three minutes, then one is",
            "interval": "1m",
            "input_series": [
                {
                    "series": 'modelserver_workers{model="m",version="1.0",state="starting"}',
                    "values": "2x3 1x9",
                },
                {"series": 'modelserver_workers{model="m",version="1.0",state="ready"}', "values": "_x4 1x9"},
            ],
            "alert_rule_test": [
                {"eval_time": "1m", "alertname": "ModelHasNoReadyWorker"},
                {
                    "eval_time": "3m",
                    "alertname": "ModelHasNoReadyWorker",
                    "exp_alerts": [
                        {
                            "exp_labels": {"severity": "critical", "model": "m", "version": "1.0"},
                            "exp_annotations": {
                                "summary": "No worker of m 1.0 is ready",
                                "description": "Workers are wanted on , but none has loaded the model"
                                " for 2 minutes.",
                            },
                        }
                    ],
                },
                {"eval_time": "6m", "alertname": "ModelHasNoReadyWorker"},
            ],
        },
        {
            "name": "a healthy server is quiet",
            "interval": "1m",
            "input_series": [
                {"series": 'modelserver_workers{model="m",version="1.0",state="ready"}', "values": "1x30"},
                {
                    "series": 'modelserver_request_seconds_count{model="m",version="1.0"}',
                    "values": "0+600x30",
                },
                {"series": 'modelserver_http_responses_total{code="200"}', "values": "0+600x30"},
                {"series": 'modelserver_http_responses_total{code="503"}', "values": "0+3x30"},
                {"series": 'modelserver_refusals_total{model="m",cause="deadline"}', "values": "0+3x30"},
            ],
            "alert_rule_test": [
                {"eval_time": "20m", "alertname": name}
                for name in (
                    "ModelHasNoReadyWorker",
                    "RequestsRefused",
                    "ServerErrors",
                    "WorkersRestartOften",
                )
            ],
        },
    ],
}


def exposed_names() -> set[str]:
    """The samples that a server with everything in use may show."""
    worker = WorkerDescription("9000", WorkerState.READY, START_OF_TIME, pid=41)
    inputs = MetricsInputs(
        lambda: START_OF_TIME,
        lambda: [VersionDescription(make_spec("noop"), True, (worker,), template=worker)],
        lambda name: True,
        lambda line: None,
        lambda line: None,
    )
    instruments = MetricsRecorder(MetricsSettings(load(), PROMETHEUS), inputs)
    instruments.host_sampled([HostValue("GPUMemoryUsed", 1.0, 0)])
    text = instruments.scrape().decode()
    kinds = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    histograms = {name for name, kind in kinds.items() if kind == "histogram"}
    parts = {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}
    return set(kinds) - histograms | parts


class DashboardTests(SynchronousTestCase):
    """The dashboard can be imported, and its panels have something to show."""

    def setUp(self) -> None:
        self.dashboard = json.loads(DASHBOARD.read_text("utf-8"))
        self.panels = self.dashboard["panels"]

    def test_metrics_exist(self) -> None:
        used = {
            name
            for panel in self.panels
            for target in panel.get("targets", ())
            for name in METRIC.findall(target["expr"])
        }
        self.assertLess(used, exposed_names())
        self.assertGreater(len(used), 20)

    def test_panels_have_ids_and_places_of_their_own(self) -> None:
        self.assertEqual(len({panel["id"] for panel in self.panels}), len(self.panels))
        taken: set[tuple[int, int]] = set()
        for panel in self.panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {
                (place["x"] + across, place["y"] + down)
                for across in range(place["w"])
                for down in range(place["h"])
            }
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_variables_are_known(self) -> None:
        known = {variable["name"] for variable in self.dashboard["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]+)", json.dumps(self.dashboard)))
        self.assertEqual(used, known)


class AlertsTests(SynchronousTestCase):
    """The alerts are rules that Prometheus takes."""

    def promtool(self, *arguments: str) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed")
        result = subprocess.run([promtool, *arguments], capture_output=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_metrics_exist(self) -> None:
        groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        used = {name for rule in rules for name in METRIC.findall(rule["expr"])}
        self.assertLess(used, exposed_names())
        self.assertEqual(len({rule["alert"] for rule in rules}), len(rules))

    def test_promtool_takes_the_rules(self) -> None:
        self.promtool("check", "rules", str(ALERTS))

    def test_alerts_fire_when_they_should(self) -> None:
        path = Path(mkdtemp()) / "scenes.yml"
        path.write_text(yaml.safe_dump({**SCENES, "rule_files": [str(ALERTS)]}), "utf-8")
        self.promtool("test", "rules", str(path))
