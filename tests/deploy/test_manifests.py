"""The manifests of ``etc/kubernetes`` and ``etc/kserve``: valid, and as the server is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import TestCase

import javaproperties
import pytest
import yaml
from jsonschema import ValidationError

from modelserver.config.table import KEY
from tests.harness.compatibility_tables import own_metrics
from tests.harness.crds import validate
from tests.images.containerfile import read

ROOT = Path(__file__).parent.parent.parent
IMAGES = ROOT / "images"
DIGEST = {"PYTHON_DIGEST": "sha256:" + "0" * 64}


def documents(name: str) -> list[dict[str, Any]]:
    """The objects of a file."""
    return [each for each in yaml.safe_load_all((ROOT / "etc" / name).read_text("utf-8")) if each]


def image_variables(name: str) -> dict[str, str]:
    """The environment of an image."""
    return dict(read((IMAGES / f"Containerfile.{name}").read_text("utf-8"), DIGEST)[-1].environment)


class KubernetesTests(TestCase):
    """``etc/kubernetes``."""

    def setUp(self) -> None:
        self.objects = {each["kind"]: each for each in documents("kubernetes/modelserver.yaml")}
        self.pod = self.objects["Deployment"]["spec"]["template"]["spec"]
        (self.container,) = self.pod["containers"]
        self.properties = javaproperties.loads(self.objects["ConfigMap"]["data"]["config.properties"])

    def test_objects_are_valid_to_the_letter(self) -> None:
        kubernetes = pytest.importorskip("kubernetes_validate")
        for each in self.objects.values():
            with self.subTest(each["kind"]):
                kubernetes.validate(each, "1.29", strict=True)

    def test_objects_of_operators_are_valid_to_the_letter(self) -> None:
        for name in ("service-monitor", "scaled-object"):
            (each,) = documents(f"kubernetes/{name}.yaml")
            with self.subTest(name):
                validate(each)

    def test_pods_are_scaled_by_metrics_that_there_are(self) -> None:
        (scaled,) = documents("kubernetes/scaled-object.yaml")
        deployment = self.objects["Deployment"]["metadata"]["name"]
        self.assertEqual(deployment, scaled["spec"]["scaleTargetRef"]["name"])
        (trigger,) = scaled["spec"]["triggers"]
        names = set(re.findall(r"modelserver_\w+", trigger["metadata"]["query"]))
        self.assertEqual(2, len(names))
        self.assertEqual([], [name for name in names if f"`{name}`" not in own_metrics()])
        # Prometheus' operator gives metrics the name of their service as job.
        jobs = set(re.findall(r'job="([^"]*)"', trigger["metadata"]["query"]))
        self.assertEqual({self.objects["Service"]["metadata"]["name"]}, jobs)

    def test_selectors_mean_the_pods(self) -> None:
        labels = self.objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
        (monitor,) = documents("kubernetes/service-monitor.yaml")
        selectors = (
            self.objects["Deployment"]["spec"]["selector"]["matchLabels"],
            self.objects["Service"]["spec"]["selector"],
            self.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            monitor["spec"]["selector"]["matchLabels"],
        )
        for selector in selectors:
            self.assertEqual(selector, labels)
        ports = {port["name"] for port in self.objects["Service"]["spec"]["ports"]}
        self.assertLessEqual({end["port"] for end in monitor["spec"]["endpoints"]}, ports)

    def test_configuration_has_the_keys_and_ports_of_the_server(self) -> None:
        self.assertEqual([name for name in self.properties if name not in KEY], [])
        ports = {port["name"]: str(port["containerPort"]) for port in self.container["ports"]}
        self.assertTrue(self.properties["inference_address"].endswith(f":{ports['http']}"))
        self.assertTrue(self.properties["metrics_address"].endswith(f":{ports['metrics']}"))
        self.assertEqual(self.properties["grpc_inference_port"], ports["grpc"])

    def test_it_drains_before_it_is_killed(self) -> None:
        pause = int(self.container["lifecycle"]["preStop"]["exec"]["command"][-1])
        drain = int(self.properties["drain_timeout"])
        self.assertLess(pause + drain, self.pod["terminationGracePeriodSeconds"])

    def test_files_of_the_image_are_mounted_over(self) -> None:
        text = (IMAGES / "Containerfile.cpu").read_text("utf-8")
        for mount in self.container["volumeMounts"][:2]:
            self.assertIn(mount["mountPath"], text)


class KServeTests(TestCase):
    """``etc/kserve``, against the schemas of KServe's own definitions."""

    def setUp(self) -> None:
        (self.runtime,) = documents("kserve/cluster-serving-runtime.yaml")
        self.services = documents("kserve/inference-services.yaml")

    def test_objects_are_valid_to_the_letter(self) -> None:
        for each in (self.runtime, *self.services):
            with self.subTest(each["metadata"]["name"]):
                validate(each)

    def test_what_is_not_valid_is_found(self) -> None:
        (container,) = self.runtime["spec"]["containers"]
        for change in ({"imgae": "x"}, {"args": "torchserve"}):
            spec = {**self.runtime["spec"], "containers": [{**container, **change}]}
            with self.subTest(change), self.assertRaises(ValidationError):
                validate({**self.runtime, "spec": spec})

    def test_each_protocol_has_a_service_of_this_runtime(self) -> None:
        models = [service["spec"]["predictor"]["model"] for service in self.services]
        self.assertEqual(
            [model["protocolVersion"] for model in models], self.runtime["spec"]["protocolVersions"]
        )
        self.assertEqual({model["runtime"] for model in models}, {self.runtime["metadata"]["name"]})

    def test_ports_are_those_of_the_image(self) -> None:
        variables = image_variables("kserve")
        (container,) = self.runtime["spec"]["containers"]
        http = re.search(r":(\d+)$", variables["TS_INFERENCE_ADDRESS"])
        assert http is not None
        self.assertEqual(container["readinessProbe"]["httpGet"]["port"], int(http[1]))
        (port,) = self.services[-1]["spec"]["predictor"]["model"]["ports"]
        self.assertEqual(variables["TS_GRPC_INFERENCE_PORT"], str(port["containerPort"]))
        metrics = self.runtime["spec"]["annotations"]["prometheus.kserve.io/port"]
        self.assertTrue(variables["TS_METRICS_ADDRESS"].endswith(f":{metrics}"))

    def test_every_variable_of_an_image_is_a_key(self) -> None:
        for name in ("cpu", "cuda", "kserve", "sagemaker"):
            keys = [key.lower() for key in image_variables(name) if key.startswith("TS_")]
            # A key may begin with TS_ itself.
            self.assertEqual([key for key in keys if key[3:] not in KEY and key not in KEY], [])
