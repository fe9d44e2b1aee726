"""Runs a server as a child process, and stops it with all processes that it started."""

from __future__ import annotations

import argparse
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from attrs import field

from modelserver.cli.client.http import Client
from modelserver.language.attributes import define, frozen

HOST = "127.0.0.1"
LAST_LINES = 40
LAST_PORT = 65535
OPEN = "enable_model_api=true\ndisable_token_authorization=true\n"
"""Anyone on this machine may do everything: commands to try, and tests, need no token."""
PAUSE = 0.1
"""Seconds between two looks at a server that starts."""


@frozen
class ServerFailed(Exception):
    """The server did not start, ended, or refused a request."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class Ports:
    """Where the server listens on the loopback interface."""

    inference: int
    management: int
    metrics: int

    @property
    def settings(self) -> str:
        """Return the lines of a ``config.properties`` with these ports; gRPC, which has two more, is off."""
        addresses = (
            f"{name}_address=http://{HOST}:{port}\n"
            for name, port in (
                ("inference", self.inference),
                ("management", self.management),
                ("metrics", self.metrics),
            )
        )
        return "".join((*addresses, "grpc_inference_port=-1\n", "grpc_management_port=-1\n"))


def first_port(text: str) -> int:
    """
    Return what an option says: the first of three ports in a row, or 0.

    :raises argparse.ArgumentTypeError: there are no such ports.
    :raises ValueError: it is no number.
    """
    port = int(text)
    if not 0 <= port <= LAST_PORT - 2:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and {LAST_PORT - 2}")
    return port


def choose_ports(wanted: Sequence[int] = (8080, 8081, 8082)) -> Ports:
    """Return the three wanted ports, with another free port for each that is taken."""
    sockets: list[socket.socket] = []
    try:
        for port in wanted:
            sockets.append(_bound(port))
        return Ports(*(bound.getsockname()[1] for bound in sockets))
    finally:
        for bound in sockets:
            bound.close()


def ports_from(first: int) -> Ports:
    """Return three ports in a row, with another free port for each that is taken; 0: any free ones."""
    return choose_ports(range(first, first + 3) if first else (0, 0, 0))


def write_options(folder: Path, store: Path, ports: Ports, more: str = "") -> list[str]:
    """
    Write the configuration of a server that is open to this machine, and give the options that name it.

    :param more: lines of its ``config.properties``.
    """
    configuration = folder / "config.properties"
    configuration.write_text(ports.settings + OPEN + more, "utf-8")
    return ["--model-store", str(store), "--ts-config", str(configuration)]


def _bound(port: int) -> socket.socket:
    """Return a socket bound to this port, or to any free one when it is taken."""
    bound = socket.socket()
    try:
        # As a server would: connections that only linger do not count as taken.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            bound.bind((HOST, port))
            return bound
        bound.bind((HOST, 0))
    except OSError:
        bound.close()
        raise
    return bound


def _is_for_a_server(variable: str) -> bool:
    """Return whether an environment variable would change the settings of the server."""
    return variable.startswith(("TS_", "MMS_")) or variable in ("LOG_LOCATION", "METRICS_LOCATION")


@define
class ChildServer:
    """
    Runs ``modelserver serve`` in its own session: a Ctrl-C reaches only this process, which stops the server.

    Should this process be killed, the server ends by itself: its standard input is a pipe of ours.

    Use it as a context manager: leaving stops the server.

    :param options: the words after ``serve``.
    :param folder: the server's working directory, with its log.
    :param grace: seconds from TERM to KILL.
    :param environment: variables beside those of this process.
    :param is_piped: what it writes is read here, by ``lines``, and not kept in a file.
    """

    options: Sequence[str]
    folder: Path
    grace: float = 30.0
    environment: Mapping[str, str] = field(factory=dict)
    is_piped: bool = False
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        """Return the file with what the server wrote to stdout and stderr."""
        return self.folder / "server.log"

    def __enter__(self) -> ChildServer:
        command = [sys.executable, "-m", "modelserver.cli.main", "serve", "--end-with-input", *self.options]
        inherited = {name: value for name, value in os.environ.items() if not _is_for_a_server(name)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**inherited, **self.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if self.is_piped else log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until_healthy(self, client: Client, seconds: float) -> None:
        """
        Return when ``/ping`` answers 200.

        :raises ServerFailed: the process ended, or did not answer in time.
        """
        latest = time.monotonic() + seconds
        while time.monotonic() < latest:
            self.raise_if_ended(PAUSE)
            with suppress(OSError, http.client.HTTPException):
                if client.ask("GET", "/ping").status == http.client.OK:
                    return
        raise ServerFailed(f"The server did not answer within {seconds:g} seconds.")

    def lines(self) -> Iterator[str]:
        """Return the lines that the server writes, one after the other as they come, until it has ended."""
        output = self._running.stdout
        assert output is not None, "the server was started without a pipe"
        with output:
            for line in output:
                yield line.decode("utf-8", "replace").rstrip("\n")

    def raise_if_ended(self, seconds: float) -> None:
        """
        Watch the process for some seconds.

        :raises ServerFailed: the process ended.
        """
        with suppress(subprocess.TimeoutExpired):
            self._raise_ended(self._running.wait(seconds))

    def wait(self) -> None:
        """
        Serve until an interrupt; never return.

        :raises ServerFailed: the process ended by itself.
        """
        self._raise_ended(self._running.wait())

    def last_lines(self) -> str:
        """Return the last lines of the log."""
        with suppress(FileNotFoundError):
            lines = self.log.read_text("utf-8", "replace").splitlines()
            return "\n".join(lines[-LAST_LINES:])
        return ""

    def stop(self) -> None:
        """Ask the server to end, and kill it with its group when it does not."""
        process = self._process
        if process is None:
            return
        try:
            process.terminate()
            process.wait(self.grace)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if process.stdin is not None:
                process.stdin.close()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "enter the context first"
        return self._process

    def _raise_ended(self, status: int) -> None:
        words = f"exit status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
        raise ServerFailed(f"The server ended by itself ({words}).")
