"""A running peer beside a server of ours, for tests that compare their answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest import TestCase

from tests.harness.server_process import LONGEST, ServerProcess, eventually
from tests.peers.probe_requests import Ask, Told, ask


class PeerTestCase(TestCase):
    """Two servers with the probe, and what they answer."""

    maxDiff = None
    folder: ClassVar[Path]
    peer_port: ClassVar[int]
    our_port: ClassVar[int]

    @classmethod
    def new_folder(cls) -> Path:
        """A folder that goes with the class."""
        folder = TemporaryDirectory(prefix="modelserver-peer-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        return cls.folder

    @classmethod
    def start_peer(cls, programs: str, command: Sequence[str], properties: Mapping[str, object]) -> None:
        """
        Start the peer in a folder of its own, with these properties in ``config.properties``.

        :param programs: its ``bin`` folder.
        """
        folder = cls.folder / "peer"
        folder.mkdir()
        lines = [f"{name}={value}\n" for name, value in properties.items()]
        (folder / "config.properties").write_text("".join(lines))
        started = subprocess.Popen(
            list(command),
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "TMPDIR": str(folder),
                "TEMP": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def end() -> None:
            os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(LONGEST)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait(LONGEST)

        cls.addClassCleanup(end)

    @classmethod
    def start_ours(cls, ours: ServerProcess, wanted: Sequence[Ask] = (Ask(),)) -> None:
        """Start our server, and wait until both answer these requests."""
        ours.start()
        cls.addClassCleanup(ours.end)
        cls.our_port = ours.ports[0]
        for port in (cls.our_port, cls.peer_port):
            for each in wanted:
                eventually(lambda port=port, each=each: _serves(port, each), 120.0)  # type: ignore[misc]  # it has defaults

    def both(self, wanted: Ask) -> tuple[Told, Told]:
        """Our answer and the peer's."""
        return ask(self.our_port, wanted), ask(self.peer_port, wanted)

    def check_answers(self, requests: Mapping[str, Ask]) -> None:
        """Both answer the same."""
        for name, wanted in requests.items():
            with self.subTest(name):
                ours, theirs = self.both(wanted)
                self.assertEqual(ours, theirs)

    def check_headers(self, requests: Mapping[str, Ask]) -> None:
        """Handlers see the same headers in both, whatever their order."""
        for name, wanted in requests.items():
            with self.subTest(name):
                ours, theirs = (json.loads(told.body) for told in self.both(wanted))
                del ours["Host"], theirs["Host"]
                self.assertEqual(ours, theirs)


def _serves(port: int, wanted: Ask) -> bool:
    try:
        return ask(port, wanted).status == 200
    except (OSError, AssertionError, TypeError):
        return False
