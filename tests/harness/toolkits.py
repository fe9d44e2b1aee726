"""
SageMaker's toolkits, each in an environment of its own: ``python -m tests.harness.toolkits FOLDER``.

torch and what the server needs come from the environment of the tests, behind the toolkit's own packages.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from tests.harness.server_process import ROOT

VARIABLE = "MODELSERVER_SAGEMAKER_TOOLKITS"
"""The folder of the environments, for the tests."""
PACKAGES = {
    "inference": ("sagemaker-inference==1.10.1",),
    "pytorch": ("sagemaker-pytorch-inference==2.0.25",),
    "huggingface": ("sagemaker-huggingface-inference-toolkit==2.6.0", "transformers<4.50"),
}
SETUPTOOLS = "setuptools==80.9.0"
"""The toolkits import ``pkg_resources``, which later ones have not."""


def make(folder: Path, name: str) -> None:
    """Make the environment of one toolkit, with this server's commands."""
    place = folder / name
    if (place / "made").exists():
        return
    venv.create(place, clear=True, with_pip=True)
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, SETUPTOOLS, "wheel"], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shared = place / "lib" / version / "site-packages" / "zz-shared.pth"
    shared.write_text("\n".join(path for path in sys.path if path.endswith("site-packages")), "utf-8")
    subprocess.run([*pip, "--no-build-isolation", *PACKAGES[name]], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", ROOT], check=True)
    (place / "made").touch()


def main() -> None:
    """Make those that are not there."""
    folder = Path(sys.argv[1]).resolve()
    for name, packages in PACKAGES.items():
        print(f"{name}: {', '.join(packages)}", flush=True)
        make(folder, name)


if __name__ == "__main__":
    main()
