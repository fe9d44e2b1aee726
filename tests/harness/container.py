"""
Processes in namespaces of their own, as a container engine would start them: here, without one.

The first process has the id 1 and a private ``/tmp``; whatever it leaves ends with it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil
from attrs import define, field

from tests.harness.server_process import LONGEST, eventually

_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
PRIVATE_TMP = "mount -t tmpfs tmpfs /tmp"
WRITABLE_ETC = " && ".join(
    (
        "mount -t tmpfs tmpfs /mnt",
        "mkdir /mnt/upper /mnt/work",
        "mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc",
    )
)
"""What is written to ``/etc`` stays in the namespace."""
_ASK = """
import json, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

method, url, body, headers = json.loads(sys.stdin.read())
headers = {"Content-Type": "application/octet-stream", **headers}
request = Request(url, None if body is None else body.encode(), headers, method=method)
try:
    answer = urlopen(request, timeout=60)
except HTTPError as error:
    answer = error
print(json.dumps([answer.status, answer.read().decode()]))
"""


def _unshare() -> list[str]:
    return [*_UNSHARE, *(() if os.geteuid() == 0 else ("--map-root-user",))]


def obstacle(*preparations: str) -> str | None:
    """Return why no such process can be started on this machine, or None."""
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    script = " && ".join((*preparations, "true"))
    words = [*_unshare(), "sh", "-c", script]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=LONGEST)
    return None if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


@define(eq=False)
class Container:
    """
    One first process, and what it starts.

    :param command: its words.
    :param environment: all of its variables.
    :param preparations: commands of the shell, run in the namespaces before it.
    :param folder: where it begins.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    preparations: Sequence[str] = (PRIVATE_TMP,)
    folder: str = "/"
    lines: list[str] = field(factory=list, init=False)
    _outer: subprocess.Popen[str] = field(init=False)
    _first: psutil.Process = field(init=False)
    _reader: threading.Thread = field(init=False)

    @property
    def output(self) -> str:
        """What was written so far."""
        return "".join(self.lines)

    @property
    def first(self) -> int:
        """The id of the first process, outside."""
        return self._first.pid

    def start(self, own_network: bool = False) -> None:
        """
        Start it; the first process may still prepare the namespaces.

        :param own_network: a network without anything, instead of the machine's.
        """
        script = " && ".join((*self.preparations, f"cd {shlex.quote(self.folder)}"))
        network = ("--net",) if own_network else ()
        words = [*_unshare(), *network, "sh", "-c", f'{script} && exec "$@"', "sh", *self.command]
        self._outer = subprocess.Popen(
            words,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._first = eventually(lambda: psutil.Process(self._outer.pid).children())[0]

    def processes(self) -> list[psutil.Process]:
        """The first process and all that it and its children have started."""
        return [self._first, *self._first.children(recursive=True)]

    def run_in_network(self, words: Sequence[str], given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program of the machine in the network of the first process."""
        enter = ["nsenter", "--net", f"--target={self.first}"]
        return subprocess.run(
            [*enter, *words], check=False, input=given, capture_output=True, text=True, timeout=100
        )

    def ask(
        self, method: str, url: str, body: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """
        Make one request from within its network.

        :param url: port and path.
        :returns: status and text; 0 and what went wrong.
        """
        given = json.dumps([method, f"http://127.0.0.1:{url}", body, dict(headers or {})])
        done = self.run_in_network([sys.executable, "-c", _ASK], given)
        if done.returncode:
            return 0, done.stderr
        status, text = json.loads(done.stdout)
        return status, text

    def signal(self, number: int) -> None:
        """Send a signal to the first process."""
        self._first.send_signal(number)

    def wait(self, seconds: float = LONGEST) -> int:
        """
        Wait for the end of the first process.

        :returns: its exit status.
        """
        status = self._outer.wait(seconds)
        self._reader.join(seconds)
        return status

    def end(self) -> None:
        """End all of it, however it goes."""
        # The kernel ends the others with it; it does not end with its parent once it has changed its user.
        with suppress(psutil.NoSuchProcess):
            self._first.kill()
        self._outer.kill()
        self._outer.wait(LONGEST)
        self._reader.join(LONGEST)
        if self._outer.stdout is not None:
            self._outer.stdout.close()

    def _read(self) -> None:
        assert self._outer.stdout is not None
        for line in self._outer.stdout:
            self.lines.append(line)
