"""Who makes a call that was sent ahead, and the answers that a worker keeps."""

from __future__ import annotations

import mmap
import queue
import random
import threading
from collections import deque
from unittest import TestCase

import hypothesis.strategies as st
from hypothesis import given, settings

from modelserver.jobs import Answer
from modelserver.protocol import fence
from modelserver.protocol.ahead import KEPT_SIZE, AheadReceiver, AheadSender
from modelserver.protocol.answer_rows import Answered, pack_answers, unpack_answers, without_first
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import ANSWERS, SHARED, Frame, FrameError
from modelserver.protocol.offers import ASKED, COME, DECIDED, STOP

LONGEST = 30.0
"""Seconds that a thread is waited for."""


WAYS = [True, False] if fence.find_fence() is not None else [False]
"""Whether offers are words with a fence between them, or a counter in the kernel."""


def opened(is_fenced: bool = WAYS[0]) -> tuple[AheadSender, AheadReceiver]:
    """Return both ends of one worker."""
    sender = AheadSender.open()
    assert sender is not None, "Linux has what it takes"
    if not is_fenced:
        sender = AheadSender(*sender.descriptors)
    return sender, AheadReceiver(*sender.descriptors)


def words_of(sender: AheadSender) -> memoryview:
    """Return the words that both ends see."""
    return memoryview(mmap.mmap(sender.memory_file, KEPT_SIZE)).cast("Q")


class Wire:
    """
    The rules of both sides over real offers, and a pipe between them; a schedule says who does what next.

    :ivar runs: how often each call was made.
    :ivar waiting: calls that nobody has, for the server to offer again.
    """

    def __init__(self, calls: int, is_fenced: bool) -> None:
        self.sender, self.receiver = opened(is_fenced)
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
            if self.receiver.offers.claim():
                self.runs[call] += 1
            else:
                self.acknowledgements += 1

    def work_all(self) -> None:
        """Let the worker come to a frame with all calls in its pipe: it passes over them from one on."""
        while self.pipe:
            call = self.pipe.popleft()
            if not self.receiver.offers.claim():
                self.receiver.offers.passed_over(len(self.pipe))
                self.acknowledgements += 1 + len(self.pipe)
                self.pipe.clear()
                return
            self.runs[call] += 1

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
        st.lists(
            st.sampled_from(["offer 1", "offer 3", "offer 16", "back", "work", "work all", "hear"]),
            max_size=120,
        ),
        st.sampled_from(WAYS),
    )
    def test_each_call_is_made_once(self, schedule: list[str], is_fenced: bool) -> None:
        wire = Wire(20, is_fenced)
        for step in schedule:
            if step == "back":
                wire.take_back()
            elif step == "work":
                wire.work()
            elif step == "work all":
                wire.work_all()
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
        for is_fenced in WAYS:
            with self.subTest(is_fenced=is_fenced):
                self.check_two_threads(is_fenced)

    def check_two_threads(self, is_fenced: bool) -> None:
        """Take back now and then, and send on when the worker has passed over what was taken."""
        sender, receiver = opened(is_fenced)
        calls: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        passed = threading.Semaphore(0)
        made: list[int] = []

        def work() -> None:
            while (call := calls.get()) is not None:
                if receiver.offers.claim():
                    made.append(call)
                else:
                    passed.release()

        worker = threading.Thread(target=work)
        worker.start()
        chance = random.Random(13)
        taken: list[int] = []
        for first in range(0, 20_000, 4):
            sender.offer(4)
            for call in range(first, first + 4):
                calls.put(call)
            if chance.random() < 0.3:
                left = sender.take_back()
                taken += range(first + 4 - left, first + 4)
                for _ in range(left):
                    self.assertTrue(passed.acquire(timeout=LONGEST))
        calls.put(None)
        worker.join()
        self.assertEqual(sender.take_back(), 0)
        self.assertEqual(sorted(made + taken), list(range(20_000)))
        sender.close()
        self.assertEqual(sender.take_back(), 0)


class Agreement(TestCase):
    """What both sides do where they meet at one call."""

    def setUp(self) -> None:
        if fence.find_fence() is None:
            self.skipTest("there are no fences here")
        self.sender, self.receiver = opened(is_fenced=True)
        self.addCleanup(self.sender.close)

    def test_a_worker_that_finds_the_server_deciding_waits_for_what_it_decides(self) -> None:
        """The server has read that the worker has come to the first call, and takes the second back."""
        for decided, expected in ((1, [True, False]), (0, [False, False])):
            with self.subTest(decided):
                sender, receiver = opened(is_fenced=True)
                words, claim, found = words_of(sender), receiver.offers.claim, []
                words[STOP] = ASKED
                worker = threading.Thread(target=lambda: found.extend([claim(), claim()]))  # noqa: B023
                worker.start()
                words[STOP] = DECIDED + decided
                worker.join(LONGEST)
                self.assertEqual(found, expected)
                sender.close()

    def test_nothing_is_taken_back_where_the_system_refuses_a_fence_after_all(self) -> None:
        sender = AheadSender(*self.sender.descriptors, lambda: False)
        receiver = AheadReceiver(*sender.descriptors)
        sender.offer(3)
        self.assertEqual(sender.take_back(), 0)
        self.assertEqual([receiver.offers.claim() for _ in range(3)], [True] * 3)

    def test_a_handler_that_writes_there_takes_back_no_more_than_was_sent(self) -> None:
        self.sender.offer(3)
        for come in (2**64 - 1, 4):
            words_of(self.sender)[COME] = come
            self.assertEqual(self.sender.take_back(), 0)
        self.assertTrue(self.receiver.offers.claim())


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
