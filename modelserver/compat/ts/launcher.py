"""Starts and stops a server with the ``torchserve`` command from a script, and registers models there."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable
from queue import Empty, Full, Queue, SimpleQueue
from threading import Thread
from typing import Any

from modelserver.compat.borrowed import borrowed

MODELS = "http://localhost:8081/models"


def stop(wait: bool = True) -> None:
    """Stop the server that runs; ``wait`` until it has ended."""
    subprocess.run(["torchserve", "--stop", *(["--foreground"] if wait else [])], check=False)


def start(
    model_store: str | None = None,
    snapshot_file: str | None = None,
    no_config_snapshots: bool = False,
    plugin_folder: str | None = None,
    disable_token: bool = False,
    models: str | None = None,
    enable_model_api: bool = False,
) -> SimpleQueue[str | None]:
    """
    Stop the server that runs and start another; return when it serves.

    :return: the lines that it prints from then on; None when it has ended.
    """
    stop()
    named = {
        "--model-store": model_store,
        "--plugins-path": plugin_folder,
        "--ts-config": snapshot_file,
        "--models": models,
    }
    flags = {
        "--no-config-snapshots": no_config_snapshots,
        "--disable-token-auth": disable_token,
        "--enable-model-api": enable_model_api,
    }
    command = ["torchserve", "--start", "--foreground"]
    for name, value in named.items():
        command += [name, value] if value else []
    command += [name for name, is_set in flags.items() if is_set]
    return _started(command)


def _started(command: list[str]) -> SimpleQueue[str | None]:
    """Run a command until it says that the server serves; its lines go to the console and the queue."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout
    assert output is not None, "it is a pipe"
    for line in output:
        print(line, end="")
        if "Model server started" in line:
            break
    lines: SimpleQueue[str | None] = SimpleQueue()

    def pass_on() -> None:
        for line in output:
            print(line, end="")
            lines.put(line)
        lines.put(None)

    Thread(target=pass_on, daemon=True).start()
    return lines


def register_model_with_params(params: Any) -> Any:
    """Register with any parameters; the answer is one of ``requests``, which must be installed."""
    import requests

    return requests.post(MODELS, params=params, timeout=600)


def register_model(model_name: str, url: str) -> Any:
    """Register a model with one worker, and wait for it."""
    params = {"model_name": model_name, "url": url, "initial_workers": "1", "synchronous": "true"}
    return register_model_with_params(params)


class Tee(threading.Thread):
    """
    Puts the lines of a reader into two queues, ``queue1`` and ``queue2``, and None into both at its end.

    A queue that holds 1000 lines, for nobody takes them, gets no more of them.
    """

    def __init__(self, reader: Iterable[str]) -> None:
        super().__init__()
        self.reader = reader
        self.queue1: Queue[str | None] = Queue(maxsize=1000)
        self.queue2: Queue[str | None] = Queue(maxsize=1000)

    def run(self) -> None:
        """Read to the end."""
        for line in self.reader:
            for lines in (self.queue1, self.queue2):
                try:
                    lines.put_nowait(line)
                except Full:
                    pass
        for lines in (self.queue1, self.queue2):
            while True:
                try:
                    lines.put_nowait(None)
                    break
                except Full:
                    _drop_one(lines)


def _drop_one(lines: Queue[str | None]) -> None:
    try:
        lines.get_nowait()
    except Empty:
        pass


class PrintTillTheEnd(threading.Thread):
    """Prints the lines of a queue until it gets None, or an empty one."""

    def __init__(self, queue: Queue[str | None]) -> None:
        super().__init__()
        self._queue = queue

    def run(self) -> None:
        """Print."""
        while line := self._queue.get():
            print(line.strip())


__getattr__ = borrowed(__name__)
