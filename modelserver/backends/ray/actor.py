"""What runs on a node for Ray: an actor that holds a worker's share of the node, and runs its agent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from threading import Event

from modelserver.protocol.worker_start import start_command

AGENT = "modelserver.backends.ray.node"
_KEPT_LINES = 5


class NodeActor:
    """
    Holds resources for as long as an agent runs. Nothing of a request passes here.

    Its methods run side by side in threads of the actor's process.
    """

    def __init__(self) -> None:
        self._agent: subprocess.Popen[bytes] | None = None
        self._is_over = Event()

    def where(self) -> tuple[str, str]:
        """Return the node's name, and the id that Ray has for it."""
        import ray

        return socket.gethostname(), str(ray.get_runtime_context().get_node_id())

    def run(self, line: bytes) -> tuple[int, str]:
        """Run an agent to its end; return its exit code, and the last lines that it wrote to stderr."""
        # Its standard input is this process's hold on it: it ends when that closes, however that comes about.
        agent = self._agent = subprocess.Popen(
            start_command(sys.executable, AGENT),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(os.environ),
        )
        assert agent.stdin is not None
        assert agent.stderr is not None
        agent.stdin.write(line)
        agent.stdin.flush()
        last: deque[bytes] = deque(agent.stderr, maxlen=_KEPT_LINES)
        return agent.wait(), b"".join(last).decode(errors="replace").strip()
