"""wrk on one server, for many short turns: signals stop it and let it go on, with its connections open."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

from attrs import define, field

from bench.load import Load, LoadFailed, command

LAST_ANSWERS = 0.005
"""Seconds after a turn in which a fast server answers what it was asked in it."""
FIRST_TURN = 1.5
"""
Seconds of load before all. After half a second wrk looks how long answers take, and decides by that how often
it will look whether it is to end: it must not have rested by then.
"""
LONGEST = 24 * 3600
PATIENCE = 30
"""Seconds for wrk to end."""


@define
class RestingClient:
    """
    Loads a server while it is told to.

    wrk reads nothing but answers, so that the bytes that it has read tell how many came, if all are as long.
    """

    load: Load
    _child: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def start(self) -> None:
        """Start wrk, which loads the server: for ``FIRST_TURN`` at least before it rests."""
        line = command(self.load, "wrk")
        line[line.index(f"-d{self.load.seconds}s")] = f"-d{LONGEST}s"
        self._child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._child is not None, "it was started"
        return self._child.pid

    def rest(self) -> None:
        """Ask no more for now, and wait until the server has answered."""
        self._signal(signal.SIGSTOP)
        time.sleep(LAST_ANSWERS)

    def work(self, seconds: float) -> float:
        """Load the server for so long; return how long it really was."""
        begun = time.monotonic()
        self._signal(signal.SIGCONT)
        time.sleep(seconds)
        self._signal(signal.SIGSTOP)
        worked = time.monotonic() - begun
        time.sleep(LAST_ANSWERS)
        return worked

    def bytes_read(self) -> int:
        """Return how many bytes of answers it has read."""
        lines = Path(f"/proc/{self.pid}/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("rchar:")).split()[1])

    def finish(self) -> tuple[float, int]:
        """
        End it; return the bytes of each answer, and how many requests failed.

        :raises LoadFailed: it told nothing, or there were no answers.
        """
        assert self._child is not None, "it was started"
        self._signal(signal.SIGCONT)
        for _ in range(PATIENCE):
            # Again if need be: the thread that gets it may not be the one that waits for the end.
            self._child.send_signal(signal.SIGINT)
            try:
                return read(self._child.communicate(timeout=1.0)[0].decode())
            except subprocess.TimeoutExpired:
                continue
        self.kill()
        raise LoadFailed("wrk did not end")

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.communicate()

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None, "it was started"
        if self._child.poll() is not None:
            raise LoadFailed("wrk has ended before its time")
        self._child.send_signal(number)


def read(output: str) -> tuple[float, int]:
    """
    Return the bytes of each answer, and how many requests failed, as wrk's script prints them.

    :raises LoadFailed: it printed nothing, or there were no answers.
    """
    lines = output.strip().splitlines()
    told = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else None
    if told is None or not told["requests"]:
        raise LoadFailed(f"wrk: {output.strip()}")
    return told["bytes"] / told["requests"], sum(told["errors"].values())
