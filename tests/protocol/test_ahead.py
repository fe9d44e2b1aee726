"""Who makes a call that was sent ahead, and the answers that a worker keeps."""

from __future__ import annotations

import random
import threading
from collections import deque
from unittest import TestCase

import hypothesis.strategies as st
from hypothesis import given, settings

from modelserver.jobs import Answer
from modelserver.protocol.ahead import KEPT_SIZE, AheadReceiver, AheadSender
from modelserver.protocol.answer_rows import Answered, pack_answers, unpack_answers, without_first
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import ANSWERS, SHARED, Frame, FrameError


def opened() -> tuple[AheadSender, AheadReceiver]:
    """Return both ends of one worker."""
    sender = AheadSender.open()
    assert sender is not None, "Linux has what it takes"
    return sender, AheadReceiver(*sender.descriptors)


class Wire:
    """
    The rules of both sides over a real counter, and a pipe between them; a schedule says who does what next.

    :ivar runs: how often each call was made.
    :ivar waiting: calls that nobody has, for the server to offer again.
    """

    def __init__(self, calls: int) -> None:
        self.sender, self.receiver = opened()
        self.runs = [0] * calls
        self.waiting = deque(range(calls))
        self.pipe: deque[int] = deque()
        self.acknowledgements = 0
        self.in_hand: deque[int] = deque()
        self.revoked = 0

    def offer(self, count: int) -> None:
        """Send so many ahead, unless some that were taken back are still in the pipe."""
        count = min(count, len(self.waiting))
        if count and not self.revoked:
            self.sender.offer(count)
            for _ in range(count):
                call = self.waiting.popleft()
                self.in_hand.append(call)
                self.pipe.append(call)

    def take_back(self) -> None:
        """Have the last ones back."""
        for _ in range(self.sender.take_back()):
            self.waiting.appendleft(self.in_hand.pop())
            self.revoked += 1

    def work(self) -> None:
        """Let the worker come to the next call in its pipe: make it, or pass over it."""
        if self.pipe:
            call = self.pipe.popleft()
            if self.receiver.claim():
                self.runs[call] += 1
            else:
                self.acknowledgements += 1

    def hear(self) -> None:
        """Let the server hear what the worker has passed over."""
        self.revoked -= self.acknowledgements
        self.acknowledgements = 0


class LayingTests(TestCase):
    """What the server sees of answers that are laid over their requests."""

    def test_it_is_seen_from_before_until_it_is_over(self) -> None:
        sender, receiver = opened()
        seen = [sender.is_laying]
        for is_laying in (True, False):
            receiver.answers.lay(is_laying)
            receiver.answers.keep(1, [(0, Answer(200, b"", b"short"))], 0.0)
            seen.append(sender.is_laying)
        self.assertEqual([False, True, False], seen)
        self.assertEqual(2, len(sender.read_kept(None)[0][1] + sender.read_kept(None)))
        sender.close()
        self.assertFalse(sender.is_laying)


class OfferLaws(TestCase):
    """However the two sides take turns."""

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from(["offer 1", "offer 3", "offer 16", "back", "work", "hear"]), max_size=120)
    )
    def test_each_call_is_made_once(self, schedule: list[str]) -> None:
        wire = Wire(20)
        for step in schedule:
            if step == "back":
                wire.take_back()
            elif step == "work":
                wire.work()
            elif step == "hear":
                wire.hear()
            else:
                wire.offer(int(step.split()[1]))
            self.assertLessEqual(max(wire.runs), 1)
            self.assertFalse([call for call in wire.waiting if wire.runs[call]], "it waits, and was made")
        while wire.waiting or wire.pipe:
            wire.offer(16)
            wire.work()
            wire.hear()
        self.assertEqual(wire.runs, [1] * 20)
        self.assertEqual(wire.sender.take_back(), 0)
        wire.sender.close()

    def test_two_threads_agree(self) -> None:
        """The worker claims as fast as it can while the server takes back: each offer is had by one."""
        sender, receiver = opened()
        offered, claimed, taken = 20_000, 0, 0
        is_over = threading.Event()

        def work() -> None:
            nonlocal claimed
            while not is_over.is_set():
                claimed += receiver.claim()

        worker = threading.Thread(target=work)
        worker.start()
        chance = random.Random(13)
        for _ in range(offered // 4):
            sender.offer(4)
            if chance.random() < 0.3:
                taken += sender.take_back()
        is_over.set()
        worker.join()
        taken += sender.take_back()
        self.assertEqual(claimed + taken, offered)
        sender.close()
        self.assertEqual(sender.take_back(), 0)


def frame_of(data: bytes) -> Frame:
    """Read the one frame that was written."""
    reader = FrameReader()
    reader.fill(Written(data))
    frame = reader.next()
    assert frame is not None, "it is whole"
    return frame


class Written:
    """What was written to a socket at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv_into(self, buffer: memoryview, /) -> int:
        """Hand all of it over."""
        buffer[: len(self._data)] = self._data
        return len(self._data)


class KeptLaws(TestCase):
    """Answers that are seen early, and come once more."""

    def setUp(self) -> None:
        self.sender, self.receiver = opened()
        self.addCleanup(self.sender.close)

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["keep", "keep 2", "apart", "send", "read socket", "look"]), max_size=80))
    def test_each_answer_is_had_once_and_in_order(self, schedule: list[str]) -> None:
        """Frames are those that leave: what is seen early is the same, bytes and batches."""
        sender, receiver = opened()
        answers = receiver.answers
        made = 0
        socket: deque[bytes] = deque()
        had: list[tuple[int, bytes]] = []

        def take(found: list[Answered]) -> None:
            for number, rows, seconds in found:
                self.assertAlmostEqual(seconds, 0.001, 4)
                had.extend((number, bytes(row.body)) for row in rows if isinstance(row, Answer))

        for step in [*schedule, "send", *["read socket"] * 160]:
            if step in ("keep", "keep 2", "apart"):
                count = 2 if step == "keep 2" else 1
                rows = [(0, Answer(200, b"", b"%d" % (made + more))) for more in range(count)]
                if step == "apart" and not answers.count:
                    socket.append(b"".join(pack_answers(ANSWERS, made, 0.001, rows)))
                    answers.sent(1)
                else:
                    self.assertTrue(answers.keep(made, rows, 0.001))
                made += count
            elif step == "send" and answers.count:
                socket.append(bytes(answers.frame()))
                answers.sent()
            elif step == "read socket" and socket:
                frame = frame_of(socket.popleft())
                take(without_first(unpack_answers(frame), sender.arrived(frame.items)))
            elif step == "look":
                take(sender.read_kept(None))
        self.assertEqual([body for _, body in had], [b"%d" % number for number in range(made)])
        self.assertTrue(all(int(body) - number in (0, 1) for number, body in had), "its own batch's")
        sender.close()

    def test_a_look_shows_status_headers_and_the_batches(self) -> None:
        self.receiver.answers.keep(1, [(0, Answer(404, b"x: y\r\n", b"a"))], 0.002)
        self.receiver.answers.keep(2, [(0, Answer(200, b"", b""))], 0.002)
        (first, one, _), (second, two, _) = self.sender.read_kept(None)
        self.assertEqual((first, one), (1, [Answer(404, b"x: y\r\n", b"a")]))
        self.assertEqual((second, two), (2, [Answer(200, b"", b"")]))
        self.assertEqual(self.sender.read_kept(None), [])

    def test_an_answer_that_has_no_room_is_not_kept(self) -> None:
        large = [(0, Answer(200, b"", bytes(KEPT_SIZE)))]
        self.assertFalse(self.receiver.answers.keep(1, large, 0.0))
        self.assertEqual(self.sender.read_kept(None), [])

    def test_rows_that_are_none_are_refused(self) -> None:
        self.receiver.answers.keep(1, [(SHARED, Answer(200, b"", b"no place"))], 0.0)
        with self.assertRaises(FrameError):
            self.sender.read_kept(None)

    def test_nothing_is_seen_after_the_end(self) -> None:
        self.receiver.answers.keep(1, [(0, Answer(200, b"", b"a"))], 0.0)
        self.sender.close()
        self.assertEqual(self.sender.read_kept(None), [])
        self.sender.close()
