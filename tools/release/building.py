"""Builds the source archive and the wheel so that every build of the same commit has the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path


def build(sources: Path, folder: Path, epoch: int) -> Mapping[str, str]:
    """
    Build both into a folder, and return their hashes by name.

    The tools are those of this environment, pinned as everything else is.

    :param epoch: the time of all files, in seconds.
    :raises subprocess.CalledProcessError: it does not build.
    """
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "build", "--no-isolation", "--sdist", "--wheel", "--outdir", str(folder)]
    subprocess.run([*command, str(sources)], check=True, env=environment, stdout=subprocess.DEVNULL)
    for archive in folder.glob("*.tar.gz"):
        settle(archive, epoch)
    return hashes(folder)


def settle(archive: Path, epoch: int) -> None:
    """Write a source archive anew: its files in order, with one time and one owner."""
    packed = io.BytesIO()
    with (
        tarfile.open(archive) as old,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for entry in sorted(old.getmembers(), key=lambda each: each.name):
            content = old.extractfile(entry) if entry.isfile() else None
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = epoch, 0, 0, "", ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            entry.pax_headers = {}
            new.addfile(entry, content)
    with archive.open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=epoch) as compressed:
        compressed.write(packed.getvalue())


def hashes(folder: Path) -> Mapping[str, str]:
    """Return the SHA-256 of each file of a folder, by name."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.iterdir())
        if file.is_file()
    }
