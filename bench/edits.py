"""
``python -m bench.edits``: how long it takes under ``modelserver dev`` from an edit to the new answer.

The digits example is copied into a folder and served. Each edit writes the handler anew, with another
number in its answers; the time ends with the first answer that has it. One edit then makes the handler fail,
and one mends it: the exception has to be shown, with its code and variables, and the next answer to be good.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, field

from bench.servers import CHECKOUT
from modelserver.cli.client.http import Client, ServerReply
from modelserver.cli.local_server import HOST

EXAMPLE = CHECKOUT / "modelserver" / "examples" / "digits"
FILES = ("handler.py", "digits.pt", "model-config.yaml")
PICTURE = "samples/3-1.png"
ANSWER = '{"digit": digit,'
EDITS = 10
MOST = 1.0
"""Seconds that the median of the edits may take."""
PAUSE = 0.005
LONGEST = 60.0
CAUSE = b"division"
"""What the answer says of it; while there is no worker, an answer says something else."""
SHOWN = (r"pictures = \[", "ZeroDivisionError")
"""What stands on the terminal when the handler fails: a variable, and the exception."""


class EditFailed(Exception):
    """Something did not come; the text says what."""


@define
class Developer:
    """Somebody who edits the handler of a running ``modelserver dev``, looks at its terminal, and asks it."""

    folder: Path
    process: subprocess.Popen[str]
    seen: str = ""
    _source: str = field(init=False)
    _client: Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._source = self._handler.read_text("utf-8")
        threading.Thread(target=self._read, daemon=True).start()
        found = self.sees(r"Predictions: http://[\d.]+:(\d+)/")
        self.sees("Ctrl-C ends")
        self._client = Client(HOST, int(found[1]), LONGEST)

    @property
    def _handler(self) -> Path:
        return self.folder / "handler.py"

    def edit(self, answer: str) -> None:
        """Write the handler anew, with something else in the place of its answer's beginning."""
        if ANSWER not in self._source:
            raise EditFailed("the example's handler has changed: this program does not find its answer")
        self._handler.write_text(self._source.replace(ANSWER, answer), "utf-8")

    def ask(self) -> ServerReply:
        """Ask for a prediction."""
        return self._client.ask("POST", "/predictions/digits", (EXAMPLE / PICTURE).read_bytes())

    def seconds(self, number: int) -> float:
        """Edit, and return how long it takes until an answer is the new handler's."""
        begin = time.monotonic()
        self.edit(f'{{"edit": {number}, "digit": digit,')
        while f'"edit": {number}'.encode() not in self.ask().body:
            if time.monotonic() - begin > LONGEST:
                raise EditFailed(f"edit {number} is not served")
            time.sleep(PAUSE)
        return time.monotonic() - begin

    def fails_and_recovers(self) -> None:
        """Make the handler fail, and mend it."""
        self.edit('{"digit": 1 // 0,')
        latest = time.monotonic() + LONGEST
        while CAUSE not in self.ask().body:
            if time.monotonic() > latest:
                raise EditFailed("the handler that fails is not served")
            time.sleep(PAUSE)
        for pattern in SHOWN:
            self.sees(pattern)
        self.seconds(-1)

    def sees(self, pattern: str) -> re.Match[str]:
        """Wait until something stands on the terminal."""
        latest = time.monotonic() + LONGEST
        while (found := re.search(pattern, self.seen)) is None:
            if time.monotonic() > latest or self.process.poll() is not None:
                raise EditFailed(f"{pattern} does not come; on the terminal is:\n{self.seen}")
            time.sleep(PAUSE)
        return found

    def _read(self) -> None:
        assert self.process.stdout is not None, "it is a pipe"
        for line in self.process.stdout:
            self.seen += line


@contextmanager
def development() -> Iterator[Developer]:
    """Serve the example from a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="modelserver-bench-") as scratch:
        folder = Path(scratch, "digits")
        folder.mkdir()
        for name in FILES:
            shutil.copy(EXAMPLE / name, folder)
        words = ["-m", "modelserver.cli.main", "dev", ".", "--port", "0", "--no-browser"]
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        try:
            yield Developer(folder, process)
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LONGEST / 2)
            process.kill()
            process.wait()


def main(words: Sequence[str] | None = None) -> int:
    """Measure; 1 if the median takes too long, or something does not come."""
    parser = argparse.ArgumentParser(prog="python -m bench.edits")
    parser.add_argument("--edits", type=int, default=EDITS)
    arguments = parser.parse_args(words)
    try:
        with development() as developer:
            took = [developer.seconds(number) for number in range(arguments.edits)]
            developer.fails_and_recovers()
    except EditFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    median = statistics.median(took)
    print("seconds from edit to answer: " + " ".join(f"{each:.2f}" for each in took))
    print(f"median {median:.3f} s ({MOST} asked), worst {max(took):.3f} s")
    print("an exception was shown with code and variables; the next edit recovered")
    return int(median > MOST)


if __name__ == "__main__":
    sys.exit(main())
