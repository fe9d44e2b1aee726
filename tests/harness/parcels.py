"""A package that tests install by pip."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

METADATA = "Metadata-Version: 2.1\nName: parcel\nVersion: {0}\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel(folder: Path, version: str, shown: str = "") -> None:
    """A package of one line, as pip wants it; ``shown`` is what it says its version is."""
    information = f"parcel-{version}.dist-info"
    files = {
        "parcel.py": f"__version__ = {shown or version!r}\n",
        f"{information}/METADATA": METADATA.format(version),
        f"{information}/WHEEL": WHEEL,
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{information}/RECORD"))
    with ZipFile(folder / f"parcel-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{information}/RECORD": record}.items():
            wheel.writestr(name, text)


def has_pip() -> bool:
    """Whether the tests' interpreter has pip, which a server needs for requirements."""
    asked = [sys.executable, "-m", "pip", "--version"]
    return subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode == 0
