"""Installs what was built into fresh environments, uses it there, and tells what it brings along."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tools.release.sources import Unreleasable

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
"""The interpreters that are looked for."""
LONGEST = 900

USE = """
import json, shutil, subprocess, sys
from pathlib import Path
from modelserver.testing import json_body, serve
import ts.torch_handler.base_handler, mms.service
bin = Path(sys.executable).parent
subprocess.run([bin / "modelserver", "init", "words"], check=True, stdout=subprocess.DEVNULL)
request = json_body({"text": "to be or not to be"})
for worker in (False, True):
    with serve("words", worker=worker) as model:
        reply = model.predict(request)
        assert reply.json() == {"words": 6, "different": 4}, reply
plugins = subprocess.run([bin / "twistd", "--help"], check=True, capture_output=True, text=True).stdout
assert "modelserver" in plugins, plugins
for command in ("torchserve", "multi-model-server", "torch-model-archiver", "torch-workflow-archiver"):
    subprocess.run([bin / command, "--help"], check=True, stdout=subprocess.DEVNULL)
"""

LICENCES = Path(__file__).with_name("licences.py")


def interpreters() -> Iterator[Path]:
    """Return the Pythons of this machine, of pyenv or on the path, one of each version."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in PYTHONS:
        named = shutil.which(f"python{version}")
        candidates = [*sorted(root.glob(f"{version}.*/bin/python")), *([Path(named)] if named else [])]
        for candidate in candidates:
            # A shim of pyenv is there for each version, and runs only those that are chosen.
            check = [str(candidate), "-c", "import ensurepip"]
            if subprocess.run(check, capture_output=True, check=False).returncode == 0:
                yield candidate
                break


def install(python: Path, package: Path, folder: Path) -> Path:
    """
    Install a package as a user would, and use it; returns the environment's own interpreter.

    :raises Unreleasable: it cannot be installed, or does not work.
    """
    environment = folder / "environment"
    _must([str(python), "-m", "venv", str(environment)], folder)
    own = environment / "bin" / "python"
    pip = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _must([*pip, str(package)], folder)
    _must([str(own), "-c", USE], folder)
    return own


def licences(python: Path) -> Mapping[str, Sequence[str]]:
    """
    Return version and licence of everything in an environment, by name.

    :raises Unreleasable: a package does not say its licence.
    """
    told: dict[str, list[str]] = json.loads(_must([str(python), str(LICENCES)], python.parent))
    silent = sorted(name for name, (_, licence) in told.items() if not licence)
    if silent:
        raise Unreleasable(f"these packages do not say their licence: {', '.join(silent)}")
    return dict(sorted(told.items(), key=lambda each: each[0].lower()))


def bill_of_materials(python: Path, file: Path) -> None:
    """
    Write what is in an environment, in CycloneDX's JSON.

    :raises Unreleasable: it cannot be written.
    """
    words = ["environment", str(python), "--output-format", "JSON", "--output-reproducible", "-o", str(file)]
    _must([sys.executable, "-m", "cyclonedx_py", *words], file.parent)


def _must(command: Sequence[str], folder: Path) -> str:
    inherited = {name: text for name, text in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        list(command), cwd=folder, env=inherited, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    if done.returncode:
        told = (done.stdout + done.stderr)[-2000:]
        raise Unreleasable(f"{' '.join(command)[:200]} ended with {done.returncode}:\n{told}")
    return done.stdout
