"""A folder with sources, in which the commands that pack archives run."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.harness.folder import FolderCase

Command = Callable[[Sequence[str]], int]

SOURCES = {
    "h.py": "def handle(data, context): return data\n",
    "é.py": "def handle(data, context): return data\n",
    "m.py": "class Net: ...\n",
    "w.pt": "weights",
    "index_to_name.json": "{}",
    "conf.yaml": "batchSize: 2\n",
    "req.txt": "attrs\n",
    "assets/a.txt": "a",
    "assets/.hidden": "hidden",
    "assets/.folder/x": "x",
    "assets/__pycache__/p.pyc": "p",
    "assets/__MACOSX/q": "q",
    "assets/sub/b.pyc": "b",
    "assets/sub/deep/c.txt": "c",
    "other/h.py": "other",
    "other/o.txt": "o",
    "folder/svc.py": "service",
    "folder/svc.pyc": "compiled",
    "folder/.DS_Store": "finder",
    "folder/old.mar": "old",
    "folder/MANIFEST.json": "{}",
    "folder/MAR-INF/MANIFEST.json": "{}",
    "folder/sub/MANIFEST.json": "{}",
    "folder/sub/data": "data",
    "folder/__pycache__/p": "p",
    "onnx/a.onnx": "a",
    "two/a.onnx": "a",
    "two/b.onnx": "b",
}


class CommandCase(FolderCase):
    """A fresh folder with sources, which is the current one."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(os.chdir, Path.cwd())
        for name, text in SOURCES.items():
            path = self.folder / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in ("ours", "theirs"):
            (self.folder / name).mkdir()
        os.chdir(self.folder)

    def run_command(self, command: Command, *words: str) -> tuple[int, str, str]:
        """The exit status, stdout and stderr of one of our commands."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = command(words)
            except SystemExit as end:
                status = int(end.code or 0)
        return status, out.getvalue(), err.getvalue()
