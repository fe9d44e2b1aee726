"""Chunked bodies: what is read, what is refused, and that nobody waits for somebody else's small chunks."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.chunked import (
    CHUNKS_A_TURN,
    LONGEST_TRAILER,
    ChunkedBody,
    ChunkedDecoder,
    ChunkedInvalid,
    Turns,
)

END = b"0\r\n\r\n"
BODY = b"3;name=value\r\nabc\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n"


def decode(*pieces: bytes, most: int = 1000) -> tuple[bytes, bytes | None]:
    """The body, and what came behind it, None before its end."""
    decoder, found = ChunkedDecoder(), list[bytes]()
    for piece in pieces:
        decoder.rest += piece
        decoder.read(most, found)
    return b"".join(found), decoder.rest if decoder.is_over else None


class DecoderTests(SynchronousTestCase):
    """RFC 9112, section 7.1."""

    def test_bodies(self) -> None:
        for sent, body in (
            (END, b""),
            (b"000\r\n\r\n", b""),
            (b"1\r\nx\r\n" + END, b"x"),
            (b"00a\r\n0123456789\r\n" + END, b"0123456789"),
            (b'1;a="b;c" ;d\r\nx\r\n' + END, b"x"),
            (b"2\r\n\r\n\r\n" + END, b"\r\n"),
            (BODY, b"abc0123456789"),
        ):
            self.assertEqual(decode(sent), (body, b""))
            self.assertEqual(decode(sent + b"GET /"), (body, b"GET /"))

    def test_every_cut_is_the_same_body(self) -> None:
        for place in range(len(BODY)):
            self.assertEqual(decode(BODY[:place], BODY[place:]), (b"abc0123456789", b""))
        self.assertEqual(decode(*(BODY[at : at + 1] for at in range(len(BODY)))), (b"abc0123456789", b""))

    def test_what_is_half_here_is_no_end(self) -> None:
        for place in range(len(BODY)):
            self.assertIsNone(decode(BODY[:place])[1])

    def test_what_breaks_a_rule(self) -> None:
        for sent in (
            b"zz\r\n",
            b"\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"0x1\r\n",
            b" 1\r\n",
            b"1 \r\n",
            b"1_0\r\n",
            b"1\n",
            b"1;a\nx\r\n",
            b"1;\x00\r\n",
            b"1" * 16 + b"\r\n",
            b"1" * 16,
            b"1;" + b"a" * 1001,
            b"1\r\nxy\r\n",
            b"1\r\nx\rx",
            b"1\r\nx\n",
            b"0\r\nno field\r\n\r\n",
            b"0\r\n X: y\r\n\r\n",
            b"0\r\nX: y\nZ: y\r\n\r\n",
            b"0\r\n" + b"X: y\r\n" * LONGEST_TRAILER,
            b"0\r\nX: " + b"y" * LONGEST_TRAILER,
        ):
            with self.subTest(sent[:20]):
                self.assertRaises(ChunkedInvalid, decode, sent)

    @given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(1, 50)), st.integers(1, 3))
    def test_what_was_sent_comes_however_it_is_cut(
        self, chunks: list[bytes], cuts: list[int], most: int
    ) -> None:
        sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + END + b"rest"
        decoder, found = ChunkedDecoder(), list[bytes]()
        for size in [*cuts, len(sent)]:
            decoder.rest, sent = decoder.rest + sent[:size], sent[size:]
            decoder.read(most, found)
        for _ in chunks:
            decoder.read(most, found)
        self.assertEqual((b"".join(found), decoder.rest, decoder.is_over), (b"".join(chunks), b"rest", True))


class TurnsTests(SynchronousTestCase):
    """A turn of the reactor is short, whatever is sent."""

    def setUp(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.turns = Turns(self.soon.append)
        self.got: dict[str, list[bytes]] = {}
        self.said: list[str] = []

    def body(self, name: str) -> ChunkedBody:
        got = self.got.setdefault(name, [])
        say = self.said.append
        return ChunkedBody(
            self.turns,
            got.append,
            lambda rest: say(f"{name} is over"),
            lambda: say(f"{name} is refused"),
            lambda: say(f"{name} is paused"),
            lambda: say(f"{name} goes on"),
        )

    def turn(self) -> None:
        calls, self.soon[:] = list(self.soon), []
        for call in calls:
            call()

    def size(self, name: str) -> int:
        return sum(map(len, self.got[name]))

    def test_small_bodies_are_read_at_once(self) -> None:
        body = self.body("a")
        body.dataReceived(b"1\r\nx\r\n" + END)
        self.assertEqual((self.got["a"], self.said), ([b"x"], ["a is over"]))
        body.dataReceived(b"more")
        self.assertEqual(self.said, ["a is over"])

    def test_a_turn_reads_so_many_chunks(self) -> None:
        self.body("a").dataReceived(b"1\r\nx\r\n" * (2 * CHUNKS_A_TURN + 10) + END)
        self.assertEqual(self.size("a"), CHUNKS_A_TURN)
        self.turn()
        self.assertEqual((self.size("a"), self.said), (2 * CHUNKS_A_TURN, []))
        self.turn()
        self.assertEqual(self.said, ["a is over", "a goes on"])

    def test_one_that_waits_is_sent_no_more(self) -> None:
        body = self.body("a")
        body.dataReceived(b"1\r\nx\r\n" * (CHUNKS_A_TURN + 10))
        body.dataReceived(b"1\r\nx\r\n" * 10)
        self.assertEqual(self.said, ["a is paused"])
        self.turn()
        self.assertEqual((self.size("a"), self.said[1:]), (CHUNKS_A_TURN + 20, ["a goes on"]))

    def test_all_bodies_share_a_turn(self) -> None:
        many, few = self.body("many"), self.body("few")
        many.dataReceived(b"1\r\nx\r\n" * 10 * CHUNKS_A_TURN)
        few.dataReceived(b"1\r\nx\r\n" + END)
        self.assertEqual(self.size("few"), 0)
        self.turn()
        self.assertEqual((self.size("few"), self.said), (1, ["few is over", "few goes on"]))
        self.assertLessEqual(self.size("many"), 2 * CHUNKS_A_TURN)

    def test_a_broken_one_is_refused_once_and_reads_nothing_more(self) -> None:
        body = self.body("a")
        body.dataReceived(b"zz\r\n")
        body.dataReceived(b"1\r\nx\r\n" + END)
        self.assertEqual((self.said, self.got["a"]), (["a is refused"], []))

    def test_one_that_nobody_wants_is_not_delivered(self) -> None:
        body = self.body("a")
        body.dataReceived(b"1\r\nx\r\n" * (CHUNKS_A_TURN + 10) + END)
        body.close()
        self.turn()
        self.assertEqual((self.size("a"), self.soon), (CHUNKS_A_TURN, self.soon))
        self.assertNotIn("a is over", self.said)
