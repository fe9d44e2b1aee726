"""
Keeps others' own schemas for the tests: ``python -m tests.harness.crds REPOSITORY CHECKOUT COMMIT``.

Of each custom resource the newest version's schema, without descriptions, compressed.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parent.parent / "deploy" / "schemas"
FILES = {
    "kserve/kserve": {
        "ClusterServingRuntime": "config/crd/full/serving.kserve.io_clusterservingruntimes.yaml",
        "InferenceService": "config/crd/full/serving.kserve.io_inferenceservices.yaml",
    },
    "kedacore/keda": {"ScaledObject": "config/crd/bases/keda.sh_scaledobjects.yaml"},
    "prometheus-operator/prometheus-operator": {
        "ServiceMonitor": "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"
    },
}
"""By repository and kind."""


def without_descriptions(node: Any, is_properties: bool = False) -> Any:
    """Return a schema without its prose; a property may be named ``description``."""
    if isinstance(node, dict):
        return {
            key: without_descriptions(value, key == "properties" and not is_properties)
            for key, value in node.items()
            if is_properties or key != "description"
        }
    return [without_descriptions(each) for each in node] if isinstance(node, list) else node


def strict(node: Any) -> Any:
    """Return a schema that refuses unknown properties, as ``kubectl apply`` does."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def load(kind: str) -> dict[str, Any]:
    """Return the schema of a kind, strict but for ``metadata``, which the schema leaves open."""
    schema: dict[str, Any] = strict(json.loads(gzip.decompress((FOLDER / f"{kind}.json.gz").read_bytes())))
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def validate(each: Mapping[str, Any]) -> None:
    """
    Check an object against the schema of its kind.

    ``jsonschema.validate`` would check the schema itself each time, which takes many seconds of KServe's.
    That is done when one is written.

    :raises jsonschema.ValidationError: it is not valid.
    """
    Draft202012Validator(load(each["kind"])).validate(each)


def main() -> None:
    """Write the schemas of a checkout's commit."""
    repository, checkout, commit = sys.argv[1:]
    for kind, name in FILES[repository].items():
        shown = subprocess.run(
            ["git", "-C", checkout, "show", f"{commit}:{name}"], check=True, capture_output=True
        )
        version = yaml.safe_load(shown.stdout)["spec"]["versions"][-1]
        schema = without_descriptions(version["schema"]["openAPIV3Schema"])
        Draft202012Validator.check_schema(schema)
        text = json.dumps(schema, separators=(",", ":"), sort_keys=True).encode()
        (FOLDER / f"{kind}.json.gz").write_bytes(gzip.compress(text, 9, mtime=0))


if __name__ == "__main__":
    main()
