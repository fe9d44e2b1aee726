"""Frames decode to what they encode, however the bytes are cut."""

from __future__ import annotations

import socket

import hypothesis.strategies as st
import psutil
from hypothesis import given
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import PredictionFailed
from modelserver.jobs import NOWHERE, Answer, CallMarks, Job, JobRequest, SharedSlot, TimedAnswer
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import pack_answers, unpack_answers
from modelserver.protocol.call_times import pack_marks, pack_times, read_marks, unpack_times
from modelserver.protocol.frame_stream import FrameReader, send_all
from modelserver.protocol.item_errors import error_answer
from modelserver.testing.providers import CollectingObserver, make_job

jobs = st.builds(
    lambda id, head, extra, body, flags: Job(
        JobRequest(id, head, extra, body, flags, None, 0.0, None), CollectingObserver()
    ),
    st.binary(min_size=16, max_size=16),
    st.binary(max_size=40),
    st.binary(max_size=10),
    st.binary(max_size=300),
    st.sampled_from([0, frames.EXPLAIN, frames.DESCRIBE]),
)
answers = st.builds(
    lambda status, head, body: (0, Answer(status, head, body)),
    st.integers(200, 999),
    st.sampled_from([b"", b"Made\r\n", b"\r\ncontent-type: text/plain\r\nx-a:\r\n"]),
    st.binary(max_size=300),
)


class Pipe:
    """A source that gives at most so many bytes at a time."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        self.data = data
        self.cuts = cuts

    def recv_into(self, buffer: memoryview, /) -> int:
        size = min(self.cuts.pop(0) if self.cuts else len(self.data), len(buffer), len(self.data))
        buffer[:size] = self.data[:size]
        self.data = self.data[size:]
        return size


def read_all(reader: FrameReader, pipe: Pipe) -> list[tuple[int, int, int, bytes]]:
    """The frames of a pipe, each with its payload copied, as the next fill voids it."""
    found = []
    while reader.fill(pipe):
        for frame in reader:
            found.append((frame.kind, frame.items, frame.number, bytes(frame.payload)))
    return found


class FrameTests(SynchronousTestCase):
    """What is packed at one end is unpacked at the other."""

    @given(st.lists(jobs, min_size=1, max_size=300))
    def test_batch_comes_back(self, batch: list[Job]) -> None:
        reader = FrameReader(size=64)
        data = b"".join(frames.pack_batch(7, batch))
        pipe = Pipe(data, [])
        while (frame := reader.next()) is None:
            self.assertTrue(reader.fill(pipe))
        items = frames.unpack_batch(frame, None)
        self.assertEqual(frame.number, 7)
        self.assertEqual(
            [(item.id, item.head, item.extra, bytes(item.body), item.flags) for item in items],
            [job.request[:5] for job in batch],
        )

    @given(st.lists(answers, min_size=1, max_size=300), st.lists(st.integers(1, 50)))
    def test_answers_come_back_however_they_are_cut(
        self, rows: list[tuple[int, Answer]], cuts: list[int]
    ) -> None:
        data = b"".join(pack_answers(frames.ANSWERS, 3, 1.5, rows)) * 2
        whole = read_all(FrameReader(), Pipe(data, []))
        self.assertEqual(read_all(FrameReader(size=64), Pipe(data, cuts)), whole)
        kind, items, number, payload = whole[1]
        frame = frames.Frame(kind, 0, items, number, memoryview(payload))
        self.assertEqual(unpack_answers(frame), [(3, [answer for _, answer in rows], 1.5)])

    def test_an_item_that_failed_comes_back_as_an_error(self) -> None:
        body = error_answer(507, "Out of resources", "MemoryError", "no")
        data = b"".join(pack_answers(frames.ANSWERS, 1, 0.0, [(frames.ERROR, Answer(0, b"", body))]))
        reader = FrameReader()
        reader.fill(Pipe(data, []))
        (frame,) = reader
        ((_, (error,), _),) = unpack_answers(frame)
        # Exceptions are equal only to themselves.
        self.assertEqual(repr(error), repr(PredictionFailed(507, "Out of resources", "MemoryError", "no")))

    def test_a_shared_body_is_found_where_its_place_says(self) -> None:
        job = make_job(SharedSlot(3, 4))
        reader = FrameReader()
        reader.fill(Pipe(b"".join(frames.pack_batch(1, [job])), []))
        (frame,) = reader
        (item,) = frames.unpack_batch(frame, memoryview(b"abcdefghij"))
        self.assertEqual(bytes(item.body), b"defg")
        with self.assertRaises(frames.FrameError):
            frames.unpack_batch(frame, None)

    def test_a_large_answer_is_laid_where_the_job_says(self) -> None:
        for answer_at, place in ((None, 2), (12, 12), (NOWHERE, None)):
            memory = memoryview(bytearray(b"..abcd.............."))
            reader = FrameReader()
            job = make_job(SharedSlot(2, 4, answer_at=answer_at))
            reader.fill(Pipe(b"".join(frames.pack_batch(1, [job])), []))
            (frame,) = reader
            (item,) = frames.unpack_batch(frame, memory)
            row = frames.put_in_place((0, Answer(200, b"", b"answer")), item, memory, 8)
            reader.fill(Pipe(b"".join(pack_answers(frames.ANSWERS, 1, 0.0, [row])), []))
            (frame,) = reader
            ((_, (answer,), _),) = unpack_answers(frame, memory)
            assert isinstance(answer, Answer)
            self.assertEqual(bytes(answer.body), b"answer")
            self.assertEqual(bytes(memory).find(b"answer"), -1 if place is None else place)
            if answer_at is not None:
                self.assertEqual(bytes(item.body), b"abcd")

    @given(st.binary(max_size=200), st.integers(0, 20))
    def test_garbage_is_refused_and_nothing_else_happens(self, payload: bytes, items: int) -> None:
        for kind, unpack in ((frames.BATCH, frames.unpack_batch), (frames.ANSWERS, unpack_answers)):
            frame = frames.Frame(kind, 0, items, 1, memoryview(payload))
            try:
                unpack(frame, None)
            except frames.FrameError:
                pass

    @given(st.tuples(*[st.floats(allow_nan=False)] * 3), st.dictionaries(st.text(), st.text(), max_size=2))
    def test_times_come_back(self, times: tuple[float, float, float], more: dict[str, object]) -> None:
        reader, marks = FrameReader(size=64), CallMarks(*times, more)
        pipe = Pipe(pack_times(7, 2, marks), [])
        while (frame := reader.next()) is None:
            self.assertTrue(reader.fill(pipe))
        self.assertEqual((7, 2, marks), (frame.number, frame.items, unpack_times(frame)))

    @given(st.binary(max_size=60))
    def test_garbage_for_times_is_refused(self, payload: bytes) -> None:
        try:
            marks = unpack_times(frames.Frame(frames.TIMES, 0, 0, 1, memoryview(payload)))
        except frames.FrameError:
            return
        self.assertIsInstance(marks.more, dict)

    @given(st.tuples(*[st.floats(allow_nan=False)] * 3), st.sampled_from([b"", b"\r\nX-A: 1\r\n"]))
    def test_times_of_a_call_come_before_the_head_of_its_answer(
        self, times: tuple[float, float, float], head: bytes
    ) -> None:
        shared = memoryview(bytearray(b"..body.."))
        place = frames.PLACE.pack(2, 4)
        for flags, sent in ((frames.TIMED, b"body"), (frames.TIMED | frames.SHARED, place)):
            pieces = pack_answers(
                frames.ANSWERS, 7, 0.5, [(flags, Answer(200, pack_marks(*times) + head, sent))]
            )
            reader = FrameReader()
            self.assertTrue(reader.fill(Pipe(b"".join(pieces), [])))
            frame = reader.next()
            assert frame is not None, "it is whole"
            ((_, (answer,), _),) = unpack_answers(frame, shared)
            assert isinstance(answer, TimedAnswer)
            self.assertEqual(Answer(200, head, b"body"), answer)
            self.assertEqual(CallMarks(*times), read_marks(answer.marks))

    def test_answer_that_is_too_short_for_times_is_refused(self) -> None:
        pieces = pack_answers(frames.ANSWERS, 7, 0.5, [(frames.TIMED, Answer(200, bytes(23), b""))])
        frame = frames.Frame(frames.ANSWERS, 0, 1, 7, memoryview(b"".join(pieces[1:])))
        self.assertRaises(frames.FrameError, unpack_answers, frame)

    def test_a_document_that_is_too_deep_is_refused(self) -> None:
        deep = frames.Frame(frames.METRICS, 0, 0, 0, memoryview(b"[" * 10_000))
        self.assertRaises(frames.FrameError, frames.unpack_json, deep)

    def test_error_names_the_kind_of_an_unexpected_frame(self) -> None:
        self.assertEqual(str(frames.unexpected(frames.BATCH)), "a frame of kind BATCH")
        self.assertEqual(str(frames.unexpected(99)), "a frame of kind 99")

    def test_a_frame_over_the_limit_is_refused(self) -> None:
        reader = FrameReader(largest=10)
        reader.fill(Pipe(frames.HEADER.pack(11, frames.LOADED, 0, 0, 0), []))
        with self.assertRaises(frames.FrameError):
            reader.next()

    def test_memory_grows_with_what_arrives_and_not_with_what_is_announced(self) -> None:
        reader = FrameReader(size=64)
        payload = bytes(range(250)) * 40
        announced = frames.HEADER.pack(400_000_000, frames.LOADED, 0, 0, 0)
        frame = frames.HEADER.pack(len(payload), frames.LOADED, 0, 0, 0) + payload
        source = Pipe(frame + announced + payload, [])
        found = []
        process = psutil.Process()
        before = process.memory_info().rss
        for _ in range(1000):
            if not reader.fill(source):
                break
            found += [bytes(each.payload) for each in reader]
        self.assertEqual([payload], found)
        self.assertLess(process.memory_info().rss - before, 100_000_000)

    def test_send_all_writes_more_than_the_socket_holds(self) -> None:
        left, right = socket.socketpair()
        self.addCleanup(left.close)
        self.addCleanup(right.close)
        pieces: frames.Pieces = [*(bytes([n % 256]) * 1000 for n in range(60)), b"x" * 70000]
        expected = b"".join(pieces)
        left.settimeout(5)
        got = bytearray()
        import threading

        def read() -> None:
            while len(got) < len(expected):
                got.extend(right.recv(1 << 16))

        reader = threading.Thread(target=read)
        reader.start()
        send_all(left, pieces)
        reader.join(5)
        self.assertEqual(bytes(got), expected)
