"""Answers that wait for the next one, and those that may not."""

from __future__ import annotations

import socket
from unittest import TestCase

from modelserver.child.context import Context
from modelserver.child.device_memory import DeviceMemory
from modelserver.child.loops.outbox import Outbox
from modelserver.devices import GpuMemory
from modelserver.jobs import Answer, CallMarks
from modelserver.protocol import frames
from modelserver.protocol.ahead import AheadReceiver, AheadSender
from modelserver.protocol.answer_rows import unpack_answers
from modelserver.protocol.call_times import pack_times
from modelserver.protocol.device_memory import read_device_memory
from modelserver.protocol.frame_stream import FrameReader

ROW = (0, Answer(200, b"", b"done"))


class OutboxTests(TestCase):
    """An outbox whose answers the server sees while they wait."""

    def setUp(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.settimeout(30.0)
        self.ours = ours
        self.reader = FrameReader()
        sender = AheadSender.open()
        assert sender is not None, "Linux has what it takes"
        self.sender = sender
        self.addCleanup(sender.close)
        self.outbox = Outbox(theirs, AheadReceiver(*sender.descriptors).answers)
        for number in range(100):  # so that it expects the next answer in a moment
            self.outbox.add(number, [ROW], 0.0, 0.0)
        self.outbox.release()
        while self.sender._known < 100:
            self.sender.arrived(self.reader.wait(self.ours).items)

    def seen(self) -> list[int]:
        """The numbers of the batches whose answers the server sees now."""
        return [number for number, _, _ in self.sender.read_kept(None)]

    def test_an_answer_waits_where_the_server_sees_it(self) -> None:
        self.outbox.add(100, [ROW], 0.0, 0.0)
        self.assertEqual([100], self.seen())

    def test_the_end_of_a_stream_goes_through_the_socket_behind_its_parts(self) -> None:
        self.outbox.add(100, [ROW], 0.0, 0.0)
        self.outbox.hold([frames.pack_bare(frames.DROPPED, 7, 1)])
        self.outbox.add_behind_parts(101, [ROW], 0.0)
        self.assertEqual([], self.seen())
        first, second, third = [self.reader.wait(self.ours) for _ in range(3)]
        self.assertEqual(
            [frames.ANSWERS, frames.DROPPED, frames.ANSWERS], [first.kind, second.kind, third.kind]
        )
        self.assertEqual([1, 1], [len(unpack_answers(frame)) for frame in (first, third)])

    def test_what_is_told_of_a_call_leaves_with_its_answers_and_before_them(self) -> None:
        self.outbox.add(100, [ROW], 0.0, 0.0)
        self.outbox.hold([frames.pack_bare(frames.DROPPED, 7, 1)])
        self.outbox.hold_ahead([pack_times(101, 0, CallMarks(1, 2, 3))])
        self.outbox.add(101, [ROW], 0.0, 0.0)
        self.assertEqual([100, 101], self.seen(), "nothing has left for it")
        self.outbox.release()
        kinds = [self.reader.wait(self.ours).kind for _ in range(3)]
        self.assertEqual([frames.TIMES, frames.ANSWERS, frames.DROPPED], kinds)
        self.outbox.hold_ahead([pack_times(102, 0, CallMarks(1, 2, 3, {"steps": []}))])
        self.outbox.release()
        self.assertEqual(frames.TIMES, self.reader.wait(self.ours).kind)

    def test_bytes_of_the_device_leave_with_the_next_frames(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        outbox = Outbox(theirs, device=DeviceMemory(lambda: (1, 2, 3), lambda: 0.0))
        outbox.hold_metrics(Context("m", "/nowhere", None, 1, 0, "1"))
        outbox.release()
        self.assertEqual(GpuMemory(1, 2, 3), read_device_memory(FrameReader().wait(ours)))
