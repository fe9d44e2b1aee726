"""The sources of a release: the last commit in a folder of its own, with its version and changelog."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from packaging.version import InvalidVersion, Version

VERSION_FILE = "modelserver/__init__.py"
_ASSIGNED = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)


class Unreleasable(Exception):
    """A release cannot be made; the text says why."""


def checked_version(text: str, released: str) -> str:
    """
    Return a version as packages spell it.

    :param released: the version that the sources have now; the new one must be newer.
    :raises Unreleasable: it is no version, or not a newer one.
    """
    try:
        wanted = Version(text)
    except InvalidVersion:
        raise Unreleasable(f"{text!r} is no version as PEP 440 has them") from None
    if wanted <= Version(released):
        raise Unreleasable(f"{wanted} is not newer than {released}")
    return str(wanted)


def version_in(folder: Path) -> str:
    """
    Return the version that sources have.

    :raises Unreleasable: nobody has written it where it belongs.
    """
    found = _ASSIGNED.search((folder / VERSION_FILE).read_text("utf-8"))
    if found is None:
        raise Unreleasable(f"{VERSION_FILE} assigns no __version__")
    return found[1]


def set_version(folder: Path, version: str) -> None:
    """Write a version into sources."""
    file = folder / VERSION_FILE
    file.write_text(_ASSIGNED.sub(f'__version__ = "{version}"', file.read_text("utf-8")), "utf-8")


def git(checkout: Path, *words: str) -> str:
    """Return what git says."""
    command = ["git", "-C", str(checkout), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit_time(checkout: Path) -> int:
    """Return the time of the last commit, in seconds since the epoch: that of everything that is built."""
    return int(git(checkout, "log", "-1", "--format=%ct"))


def export(checkout: Path, folder: Path) -> None:
    """Write the files of the last commit into a new folder."""
    archive = subprocess.run(
        ["git", "-C", str(checkout), "archive", "--format=tar", "HEAD"], check=True, capture_output=True
    ).stdout
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def prepare(folder: Path, version: str, date: str) -> None:
    """
    Give sources their version, and have towncrier move the news fragments into the changelog.

    :param date: of the release, as the changelog shows it.
    :raises subprocess.CalledProcessError: towncrier refuses.
    """
    set_version(folder, version)
    towncrier = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", version, "--date", date]
    subprocess.run(towncrier, cwd=folder, check=True, stdout=subprocess.DEVNULL)
