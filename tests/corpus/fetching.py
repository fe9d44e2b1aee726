"""Takes files out of mirrors of git repositories, at the commit that the list names."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tests.corpus.public_handler import PublicHandler


class NotFetched(Exception):
    """A handler's files cannot be had; the text says how they could."""


def fetch(
    wanted: PublicHandler, mirrors: Sequence[Path], folder: Path, paths: Sequence[str] = ()
) -> Sequence[Path]:
    """
    Write a handler's files into a folder, side by side as in an archive, and return where they are.

    :param paths: others of its repository, instead.
    :param mirrors: folders that have repositories as ``owner+name/repo``, bare or not.
    :raises NotFetched: none of them has it, or not at that commit.
    """
    place = f"{wanted.repository.replace('/', '+')}/repo"
    found = [mirror / place for mirror in mirrors if (mirror / place).is_dir()]
    if not found:
        address = f"https://github.com/{wanted.repository}"
        raise NotFetched(f"not there; to have it: git clone --bare {address} {mirrors[0] / place}")
    written = []
    for path in paths or wanted.files:
        file = folder / PurePosixPath(path).name
        file.write_bytes(_content(found[0], wanted.commit, path))
        written.append(file)
    return written


def _content(repository: Path, commit: str, path: str) -> bytes:
    shown = subprocess.run(
        ["git", "-C", str(repository), "cat-file", "blob", f"{commit}:{path}"],
        capture_output=True,
        check=False,
    )
    if shown.returncode:
        why = shown.stderr.decode("utf-8", "replace").strip()
        raise NotFetched(f"{path} at {commit[:10]}: {why}")
    return shown.stdout
