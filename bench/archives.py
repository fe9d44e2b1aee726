"""Packs the bench handlers for a server: a zip with the manifest that TorchServe or MMS expects."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

HANDLERS = Path(__file__).with_name("handlers")


def manifest(name: str, shape: str) -> dict[str, object]:
    """
    The manifest of an archive whose handler is ``NAME.py``.

    :param shape: ``torchserve`` or ``mms``.
    """
    if shape == "mms":
        return {
            "specificationVersion": "1.0",
            "implementationVersion": "1.0",
            "modelServerVersion": "1.0",
            "runtime": "python",
            "model": {"modelName": name, "handler": f"{name}:handle"},
        }
    return {
        "createdOn": "01/01/2025 00:00:00",
        "archiverVersion": "0.12.0",
        "runtime": "python",
        "model": {"modelName": name, "modelVersion": "1.0", "handler": f"{name}.py"},
    }


def pack(name: str, store: Path, shape: str) -> Path:
    """
    Write ``NAME.mar`` into a model store, from ``bench/handlers/NAME.py``.

    :param shape: ``torchserve`` or ``mms``.
    """
    path = store / f"{name}.mar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest(name, shape), indent=2))
        archive.write(HANDLERS / f"{name}.py", f"{name}.py")
    return path


def pack_workflow(name: str, nodes: Mapping[str, str], settings: Mapping[str, object], store: Path) -> Path:
    """
    Write ``NAME.war`` into a store: a chain of nodes.

    :param nodes: the archive of each, by the node's name.
    :param settings: of every node, as a specification has them.
    """
    path = store / f"{name}.war"
    manifest = {
        "createdOn": "01/01/2025 00:00:00",
        "workflow": {"workflowName": name, "specFile": "chain.yaml", "handler": "nothing.py"},
        "archiverVersion": "0.2.15",
    }
    # JSON is YAML, too.
    spec = {
        "models": {node: {"url": url, **settings} for node, url in nodes.items()},
        "dag": {node: [behind] for node, behind in pairwise(nodes)},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("WAR-INF/MANIFEST.json", json.dumps(manifest, indent=2))
        archive.writestr("chain.yaml", json.dumps(spec, indent=2))
        archive.writestr("nothing.py", "")
    return path


def lay_out(name: str, store: Path, shape: str, extra: tuple[Path, ...] = ()) -> Path:
    """
    The same as a folder of the store, for models too large to be zipped; extra files become links.

    :param extra: files that belong beside the handler.
    """
    folder = store / name
    (folder / "MAR-INF").mkdir(parents=True, exist_ok=True)
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest(name, shape), indent=2))
    (folder / f"{name}.py").write_bytes((HANDLERS / f"{name}.py").read_bytes())
    for path in extra:
        link = folder / path.name
        if not link.exists():
            link.hardlink_to(path)
    return folder
