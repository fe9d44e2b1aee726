"""What the driver does with places, whatever Ray makes of them."""

from __future__ import annotations

import socket
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.driver import Driver
from modelserver.backends.ray.driver_words import DriverKind
from modelserver.backends.ray.placing import ClusterView, Placing
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame


class Unavailable(Exception):
    """As Ray fails the call of an actor that it does not reach."""


class FakeRay:
    """A cluster on which one agent runs, until Ray fails its call."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.ended: list[object] = []
        self.util = SimpleNamespace(remove_placement_group=self.ended.append)

    def wait(self, references: list[object], timeout: float) -> tuple[list[object], list[object]]:
        """Tell whether the call is over, one way or the other."""
        return (references, []) if self.failure is not None else ([], references)

    def get(self, reference: object, timeout: float) -> object:
        """Raise what became of it."""
        assert self.failure is not None
        raise self.failure

    def kill(self, actor: object, no_restart: bool) -> None:
        """Note who is ended."""
        self.ended.append(actor)


class DriverTests(SynchronousTestCase):
    """One agent that runs."""

    def setUp(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(self.theirs.close)
        self.theirs.setblocking(False)
        self.ray, self.driver = FakeRay(), Driver(ours)
        view = ClusterView(self.ray, "192.0.2.1")
        placing = Placing.of(view, {"version": "m/1", "strategy": "spread", "resources": {}, "line": ""})
        placing._group, placing._actor, placing._run = "group", "actor", "run"
        self.driver._placing[7] = placing
        self.placing = placing

    def said(self) -> list[tuple[int, int]]:
        """What the driver has said since it was asked last."""
        reader = FrameReader()
        try:
            reader.fill(self.theirs)
        except BlockingIOError:
            return []
        return [(frame.kind, frame.number) for frame in reader]

    def test_agent_that_ray_does_not_reach_is_left_alone(self) -> None:
        self.driver._look()
        self.assertEqual([], self.said())
        self.ray.failure = Unavailable("the actor is unavailable")
        self.driver._look()
        self.assertEqual([(DriverKind.NOT_STARTED, 7)], self.said())
        self.driver._look()
        self.assertEqual(([], []), (self.said(), self.ray.ended))

    def test_its_share_is_given_back_when_the_server_gives_it_up(self) -> None:
        self.ray.failure = Unavailable("the actor is unavailable")
        self.driver._look()
        cancel = frames.pack_json(DriverKind.CANCEL, {}, 7)
        self.driver._take(Frame(DriverKind.CANCEL, 0, 0, 7, memoryview(cancel)[frames.HEADER.size :]))
        self.assertEqual(["actor", "group"], self.ray.ended)
        self.assertEqual({}, self.driver._placing)
