"""Heads of answers are checked where they are made, and again where they arrive."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.answer_head import LONGEST_HEAD, LONGEST_REMEMBERED, HeadInvalid, check_head
from modelserver.protocol.answer_rows import pack_answers, unpack_answers
from modelserver.protocol.frames import Frame, FrameError

SOUND = (b"", b"\r\n", b"Made\r\n", b"\r\nContent-Type: text/plain; charset=utf-8\r\nx-a:\r\nx-b: \xe9\r\n")
BROKEN = (
    b"Made",
    b"Made\r\nx: y",
    b"Made\nx: y\r\n",
    b"\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\n",
    b"\r\nx: a\rb\r\n",
    b"\r\nx: a\x00\r\n",
    b"\r\nno colon\r\n",
    b"\r\n: no name\r\n",
    b"\r\nx : y\r\n",
    b"\r\nContent-Length: 5\r\n",
    b"\r\ntransfer-encoding: chunked\r\n",
    b"\r\nConnection: close\r\n",
)


class AnswerHeadTests(SynchronousTestCase):
    """What may be sent as it is, and what would break the answer or the next one."""

    def test_sound_heads_are_taken(self) -> None:
        for block in (*SOUND, b"\r\nx: " + b"a" * LONGEST_REMEMBERED + b"\r\n"):
            self.assertEqual(block, check_head(200, block))

    def test_others_are_refused_however_often_they_come(self) -> None:
        long = b"\r\nx: " + b"a" * LONGEST_REMEMBERED + b"\r\n\r\n"
        for block in (*BROKEN, *BROKEN, long, b"\r\nx: " + b"a" * LONGEST_HEAD + b"\r\n"):
            with self.assertRaises(HeadInvalid, msg=str(block[:60])):
                check_head(200, block)

    def test_no_status_but_a_final_one_is_taken(self) -> None:
        for status in (0, 100, 199, 1000):
            with self.assertRaises(HeadInvalid):
                check_head(status, b"")

    def test_the_server_takes_no_answer_with_another(self) -> None:
        bodies = (b"small", b"x" * (frames.SMALL + 1))
        for status, block in ((100, b""), *((200, block) for block in BROKEN)):
            for body in bodies:
                with self.assertRaises(FrameError):
                    unpack_answers(packed(0, Answer(status, block, body)))
            place = frames.PLACE.pack(0, 2)
            with self.assertRaises(FrameError):
                unpack_answers(packed(frames.SHARED, Answer(status, block, place)), memoryview(b"ab"))


def packed(flags: int, answer: Answer) -> Frame:
    """A frame of one answer, as a worker sends it."""
    data = b"".join(pack_answers(frames.ANSWERS, 1, 0.0, [(flags, answer)]))
    _, kind, bits, count, number = frames.HEADER.unpack_from(data)
    return Frame(kind, bits, count, number, memoryview(data)[frames.HEADER.size :])
