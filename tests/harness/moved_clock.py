"""A time of day that a test moves: what ``time.time`` says in the processes of a server."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.harness.server_process import ROOT

_VARIABLE = "MOVED_CLOCK"
_SHIM = f'''
import mmap
import os
import struct
import time

with open(os.environ["{_VARIABLE}"], "r+b") as file:
    moved = mmap.mmap(file.fileno(), 8)
plain, plain_ns = time.time, time.time_ns
time.time = lambda: plain() + struct.unpack_from("d", moved)[0]
time.time_ns = lambda: plain_ns() + int(struct.unpack_from("d", moved)[0] * 1e9)
'''
"""Run by Python before anything else; whoever takes ``time.time`` by name afterwards gets this one."""


class MovedClock:
    """
    The distance between the time of day that processes see and the true one.

    :param folder: empty; for what the processes read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._file = folder, folder / "moved"
        self._file.write_bytes(struct.pack("d", 0.0))
        (folder / "sitecustomize.py").write_text(_SHIM)

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of a process that is to see this clock."""
        return {"PYTHONPATH": f"{self._folder}:{ROOT}", _VARIABLE: str(self._file)}

    def move(self, seconds: float) -> None:
        """Have the time of day be so far from the true one."""
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as moved:
            struct.pack_into("d", moved, 0, seconds)
