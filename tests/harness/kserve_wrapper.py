"""
TorchServe's wrapper for KServe, as its image has it: ``python -m tests.harness.kserve_wrapper FOLDER``.

That makes the environment of the wrapper, with packages of its ``requirements.txt``. The wrapper itself is
in a checkout of pytorch/serve, which ``MODELSERVER_TORCHSERVE_CHECKOUT`` names and nothing here fetches.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

CHECKOUT = "MODELSERVER_TORCHSERVE_CHECKOUT"
"""A checkout of pytorch/serve."""
ENVIRONMENT = "MODELSERVER_KSERVE_ENVIRONMENT"
"""A virtual environment with what the wrapper imports."""
PACKAGES = ("kserve[storage]==0.13.0",), ("grpcio-tools<1.63", "requests", "setuptools<81")
"""
One after the other: this kserve asks for an older protobuf than grpcio-tools does on Python 3.11, and works
with the newer one.
"""
KSERVE, PROTOS = "kubernetes/kserve", "frontend/server/src/main/resources/proto"
SERVICES = ("inference.proto", "management.proto")
FIND_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


def make(folder: Path) -> None:
    """Make the environment, if it is not there."""
    if (folder / "made").exists():
        return
    venv.create(folder, clear=True, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for packages in PACKAGES:
        subprocess.run([*pip, *packages], check=True)
    (folder / "made").touch()


def lay_out(checkout: Path, environment: Path, target: Path) -> None:
    """Do what its Dockerfile does: the wrapper, with the stubs of TorchServe's services beside it."""
    wrapper = target / "kserve_wrapper"
    shutil.copytree(checkout / KSERVE / "kserve_wrapper", wrapper)
    shutil.copy(checkout / KSERVE / "dockerd-entrypoint.sh", target)
    for name in SERVICES:
        shutil.copy(checkout / PROTOS / name, wrapper)
    python = str(environment / "bin" / "python")
    found = subprocess.run(
        [python, "-c", FIND_PACKAGES], check=True, stdout=subprocess.PIPE, text=True, timeout=100
    )
    # google/rpc/status.proto comes with a package here, and with TorchServe's submodule there.
    imports = found.stdout.strip()
    words = ["-m", "grpc_tools.protoc", f"-I{imports}", f"--proto_path={wrapper}"]
    outputs = [f"--python_out={wrapper}", f"--grpc_python_out={wrapper}"]
    protos = [str(wrapper / name) for name in SERVICES]
    subprocess.run([python, *words, *outputs, *protos], check=True, timeout=100)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve())
