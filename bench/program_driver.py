"""A driver that starts agents itself, on the nodes that a file names: all of a cluster but Ray."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from attrs import define

from modelserver.backends.ray.actor import AGENT
from modelserver.backends.ray.driver_words import DRIVER_FD, DriverKind
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame

NODES = "MODELSERVER_PROGRAM_NODES"
"""The variable with the file's name."""
_LOOKS = 0.02
_HOLDER = ("sleep", "600")


@define(eq=False)
class StartedAgent:
    """
    An agent, and what it was asked with.

    :param process: None as long as there is no room.
    :param holder: stands for Ray's actor: it is on the node, and the agent ends with it.
    """

    wanted: Mapping[str, Any]
    holder: subprocess.Popen[bytes] | None = None
    process: subprocess.Popen[bytes] | None = None
    node: str = ""
    has_told: bool = False


class ProgramDriver:
    """Does what the server asks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._reader = connection, FrameReader()
        self._agents: dict[int, StartedAgent] = {}

    def run(self) -> None:
        """Work until the server closes the socket."""
        while True:
            if select.select([self._connection], [], [], _LOOKS)[0]:
                if not self._reader.fill(self._connection):
                    return
                for frame in self._reader:
                    self._take(frame)
            for number, agent in list(self._agents.items()):
                self._look(number, agent)

    def _take(self, frame: Frame) -> None:
        if frame.kind == DriverKind.JOIN:
            self._say(DriverKind.JOINED, 0, {"host": _nodes()["host"]})
        elif frame.kind == DriverKind.PLACE:
            self._agents[frame.number] = StartedAgent(frames.unpack_json(frame))
        elif frame.kind == DriverKind.CANCEL:
            _end(self._agents.pop(frame.number, None))

    def _look(self, number: int, agent: StartedAgent) -> None:
        if agent.process is None:
            self._place(number, agent)
        elif agent.process.poll() is not None:
            _end(self._agents.pop(number))
            reason = f"its agent ended with code {agent.process.returncode}"
            self._say(DriverKind.NOT_STARTED, number, {"reason": reason})

    def _place(self, number: int, agent: StartedAgent) -> None:
        known = _nodes()
        taken = [each.node for each in self._agents.values() if each.process is not None]
        free = {each["name"]: each["processors"] - taken.count(each["name"]) for each in known["nodes"]}
        roomy = [each for each in known["nodes"] if free[each["name"]] > 0]
        if not roomy:
            if not agent.has_told:
                agent.has_told = True
                self._say(DriverKind.WAITS, number, {"reason": f"asked for CPU 1; free: {free}"})
            return
        node = min(roomy, key=lambda each: (taken.count(each["name"]), each["name"]))
        agent.node = node["name"]
        reading, writing = os.pipe()
        agent.holder = subprocess.Popen([*node["prefix"], *_HOLDER], pass_fds=[writing])
        agent.process = subprocess.Popen(
            [*node["prefix"], known["python"], "-m", AGENT],
            stdin=reading,
            env={**os.environ, **node["environment"]},
        )
        os.write(writing, agent.wanted["line"].encode())
        for end in (reading, writing):
            os.close(end)
        place = {"node": agent.node, "address": node["address"], "group": "", "reason": "it has room"}
        self._say(DriverKind.PLACED, number, place)

    def _say(self, kind: DriverKind, number: int, document: dict[str, object]) -> None:
        self._connection.sendall(frames.pack_json(kind, document, number))


def _nodes() -> dict[str, Any]:
    with open(os.environ[NODES]) as file:
        return dict(json.load(file))


def _end(agent: StartedAgent | None) -> None:
    if agent is not None and agent.holder is not None:
        agent.holder.kill()
        agent.holder.wait()


def main() -> NoReturn:
    """Run the driver. What it has started stays, as on nodes whose server is gone."""
    try:
        ProgramDriver(socket.socket(fileno=DRIVER_FD)).run()
    except ConnectionError:
        pass
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
