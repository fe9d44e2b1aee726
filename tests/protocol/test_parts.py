"""Parts of answers in memory that a worker and the server both see."""

from __future__ import annotations

import struct
from unittest import TestCase

import hypothesis.strategies as st
from hypothesis import given, settings

from modelserver.jobs import Answer, StreamedParts
from modelserver.protocol.answer_rows import pack_rows
from modelserver.protocol.frames import FrameError
from modelserver.protocol.parts import AREA_SIZE, LOOKING, MANY, RING_SIZE, SAID, PartsReader, PartsWriter

BATCH = 7


class Ends:
    """Both ends."""

    def __init__(self, keeps_order: bool = True) -> None:
        self.memory = bytearray(AREA_SIZE)
        self.reader = PartsReader(memoryview(self.memory), keeps_order)
        self.writer = PartsWriter(self.memory)

    def found(self, answered: int = 0) -> list[tuple[int, list[object]]]:
        """What is next."""
        return [(number, list(parts)) for number, parts in self.reader.take(answered)]

    def taken(self, answered: int = 0) -> list[bytes]:
        """The bodies of the parts that are next."""
        return [
            bytes(part.body)
            for _, parts in self.reader.take(answered)
            for part in parts
            if isinstance(part, Answer)
        ]


class PartsTests(TestCase):
    """What is laid is taken, once and in order."""

    def setUp(self) -> None:
        self.ends = Ends()
        self.reader, self.writer = self.ends.reader, self.ends.writer

    def test_parts_with_a_head_and_without(self) -> None:
        first = [(0, Answer(201, b"Made\r\nA: b\r\n", b"x")), (0, Answer(200, b"", b""))]
        self.assertTrue(self.writer.lay(0, BATCH, 2, b"".join(pack_rows(BATCH, 0, first))))
        self.assertTrue(self.writer.lay(0, BATCH, 0, bytearray(b"y")))
        self.assertTrue(self.writer.lay(0, BATCH + 1, 0, b"z"))
        self.assertEqual(
            self.ends.found(0),
            [
                (BATCH, [answer for _, answer in first]),
                (BATCH, [Answer(200, b"", b"y")]),
                (BATCH + 1, [Answer(200, b"", b"z")]),
            ],
        )
        self.assertEqual((self.reader.take(0), self.reader.is_empty), ([], True))

    def test_parts_behind_an_answer_wait_for_it(self) -> None:
        self.writer.lay(4, BATCH, 0, b"a")
        self.writer.lay(5, BATCH, 0, b"b")
        self.assertEqual(self.ends.taken(4), [b"a"])
        self.assertEqual((self.ends.taken(4), self.reader.is_empty), ([], False))
        self.assertEqual(self.ends.taken(5), [b"b"])

    def test_numbers_of_answers_may_be_of_any_size(self) -> None:
        self.writer.lay((1 << 32) + 3, BATCH, 0, b"a")
        self.assertEqual(self.ends.taken((1 << 32) + 3), [b"a"])

    def test_part_without_room_goes_through_the_socket_and_the_next_ones_behind_it(self) -> None:
        self.assertTrue(self.writer.lay(0, BATCH, 0, bytes(RING_SIZE // 2)))
        self.assertFalse(self.writer.lay(0, BATCH, 0, bytes(RING_SIZE // 2)))
        self.writer.frame_sent()
        self.assertFalse(self.writer.lay(0, BATCH, 0, b"small"))
        self.writer.frame_sent()
        self.assertEqual(len(self.ends.taken()), 1)
        self.reader.frame_read()
        self.assertFalse(self.writer.lay(0, BATCH, 0, b"small"))
        self.reader.frame_read()
        self.assertTrue(self.writer.lay(0, BATCH, 0, b"small"))

    def test_room_for_many(self) -> None:
        self.assertTrue(self.writer.is_half_empty)
        for half, size in ((True, RING_SIZE // 2 - 16), (False, 0)):
            self.assertTrue(self.writer.lay(0, BATCH, 0, bytes(size)))
            self.assertEqual(self.writer.is_half_empty, half)
        self.writer.frame_sent()
        self.reader.take(0)
        self.assertFalse(self.writer.is_half_empty, "the frame is on its way")
        self.reader.frame_read()
        self.assertTrue(self.writer.is_half_empty)

    def test_nothing_is_laid_where_stores_may_be_seen_in_another_order(self) -> None:
        ends = Ends(keeps_order=False)
        self.assertEqual((ends.writer.is_shut, self.writer.is_shut), (True, False))
        self.assertFalse(ends.writer.lay(0, BATCH, 0, b"a"))
        ends.writer.frame_sent()
        ends.reader.frame_read()
        self.assertFalse(ends.writer.lay(0, BATCH, 0, b"a"))

    def test_bodies_of_one_stream_are_laid_until_something_is_said(self) -> None:
        self.assertFalse(self.writer.lay_next(b"no stream"))
        self.assertTrue(self.writer.lay(3, BATCH, 0, b"a"))
        self.writer.begin_run(3, BATCH, 0)
        self.assertEqual([self.writer.lay_next(body) for body in (b"b", b"", bytearray(b"cc"))], [True] * 3)
        self.assertEqual(self.ends.taken(3), [b"a", b"b", b"", b"cc"])
        self.reader.say()
        self.assertFalse(self.writer.lay_next(b"d"))
        self.writer.begin_run(3, BATCH, 1)
        self.assertTrue(self.writer.lay_next(b"d"))
        self.writer.end_run()
        self.assertFalse(self.writer.lay_next(b"e"))
        self.assertEqual(self.ends.taken(3), [b"d"])

    def test_bodies_follow_a_part_that_went_through_the_socket(self) -> None:
        self.assertTrue(self.writer.lay(0, BATCH, 0, b"a"))
        self.writer.begin_run(0, BATCH, 0)
        self.assertFalse(self.writer.lay_next(bytes(RING_SIZE)))
        self.writer.frame_sent()
        self.assertFalse(self.writer.lay_next(b"b"))
        self.reader.frame_read()
        self.assertFalse(self.writer.lay_next(b"b"), "only ``lay`` asks whether the server has read it")
        self.assertTrue(self.writer.lay(0, BATCH, 0, b"b"))
        self.assertTrue(self.writer.lay_next(b"c"))
        self.assertEqual(self.ends.taken(), [b"a", b"b", b"c"])

    def test_what_the_server_tells(self) -> None:
        words = self.writer.words
        self.assertEqual((words[SAID], words[LOOKING]), (0, 0))
        self.reader.look(True)
        self.reader.say()
        self.assertEqual((words[SAID], words[LOOKING]), (1, 1))
        self.reader.look(False)
        self.assertEqual(words[LOOKING], 0)

    def test_nothing_more_is_announced_while_an_announcement_is_on_its_way(self) -> None:
        self.assertEqual([self.writer.announces(0) for _ in range(3)], [True, False, False])
        self.reader.announcement_read()
        self.assertEqual([self.writer.announces(0) for _ in range(2)], [True, False])

    def test_parts_behind_further_answers_are_announced_behind_these(self) -> None:
        self.assertEqual([self.writer.announces(before) for before in (0, 1, 1)], [True, True, False])
        self.reader.announcement_read()
        self.assertFalse(self.writer.announces(1), "the second one is on its way")
        self.reader.announcement_read()
        self.assertTrue(self.writer.announces(1))

    def test_parts_of_one_size_end_where_another_batch_or_answer_begins(self) -> None:
        for before, number in ((0, BATCH), (0, BATCH + 1), (1, BATCH + 1)):
            for place in range(2 * MANY):
                self.writer.lay(before, number, 0, b"%02d" % place)
        bodies = [b"%02d" % place for place in range(2 * MANY)]
        answers = [Answer(200, b"", body) for body in bodies]
        self.assertEqual(self.ends.found(), [(BATCH, answers), (BATCH + 1, answers)])
        self.assertEqual(self.ends.taken(1), bodies)

    def test_first_part_with_a_head_and_the_bodies_behind_it_are_one(self) -> None:
        first = Answer(201, b"Made\r\nA: b\r\n", b"x")
        self.writer.lay(0, BATCH, 1, b"".join(pack_rows(BATCH, 0, [(0, first)])))
        for _ in range(2 * MANY):
            self.writer.lay(0, BATCH, 0, b"y")
        ((number, parts),) = self.reader.take(0)
        assert isinstance(parts, StreamedParts)
        self.assertEqual((number, parts.bodies), (BATCH, [b"x", *[b"y"] * 2 * MANY]))
        self.assertEqual(list(parts), [first, *[Answer(200, b"", b"y")] * 2 * MANY])

    def test_part_of_nothing_is_by_itself(self) -> None:
        for body in (b"a", b"b", b"", b"", b"c"):
            self.writer.lay(0, BATCH, 0, body)
        found = [
            [Answer(200, b"", body) for body in bodies] for bodies in ((b"a", b"b"), (b"", b""), (b"c",))
        ]
        self.assertEqual(self.ends.found(), [(BATCH, answers) for answers in found])

    @given(st.lists(st.sampled_from(range(8)), min_size=2 * MANY, max_size=6 * MANY), st.integers(1, 40))
    def test_bodies_that_look_like_heads(self, kinds: list[int], size: int) -> None:
        """What a client sends can be what a handler answers."""
        head = struct.pack("<IIII", 0, BATCH, 0, size)
        ends, laid = Ends(), list[bytes]()
        for kind in kinds:
            body = b"x" * size if kind < 5 else (head[kind - 5 :] + head * 3)[:size]
            laid.append(body if kind % 2 else body[::-1])
            self.assertTrue(ends.writer.lay(0, BATCH, 0, laid[-1]))
        self.assertEqual(ends.taken(), laid)

    def test_streams_that_take_turns_fill_all_of_the_room(self) -> None:
        """Were all that follows looked through for each part, this would take a quarter of a minute."""
        laid: list[int] = []
        while self.writer.lay(0, BATCH + len(laid) % 2, 0, b"%08d" % len(laid)):
            laid.append(BATCH + len(laid) % 2)
        self.assertGreater(len(laid), 10_000)
        wanted = [(number, [Answer(200, b"", b"%08d" % place)]) for place, number in enumerate(laid)]
        self.assertEqual(self.ends.found(), wanted)

    def test_one_that_is_cut_off_behind_many_of_its_size(self) -> None:
        for _ in range(2 * MANY):
            self.writer.lay(0, BATCH, 0, b"four")
        self.ends.memory[:8] = (2 * MANY * 20 - 1).to_bytes(8, "little")
        self.assertRaises(FrameError, self.reader.take, 0)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3 * MANY)), max_size=12))
    def test_parts_of_any_sizes_in_a_row(self, runs: list[tuple[int, int]]) -> None:
        ends, laid = Ends(), list[bytes]()
        for size, count in runs:
            for _ in range(count):
                laid.append(len(laid).to_bytes(3, "big")[:size])
                self.assertTrue(ends.writer.lay(0, BATCH, 0, laid[-1]))
        self.assertEqual(ends.taken(), laid)

    def test_memory_that_a_handler_has_written_over(self) -> None:
        row = b"".join(pack_rows(BATCH, 0, [(0, Answer(200, b"", b"x"))]))
        for count, data in ((2, row), (1, b"short"), (1, row + b"y"), (1, row.replace(b"\x07", b"\x08", 1))):
            ends = Ends()
            ends.writer.lay(0, BATCH, count, data)
            self.assertRaises(FrameError, ends.reader.take, 0)
        for laid in (1, 15, RING_SIZE + 1):
            ends = Ends()
            ends.memory[:8] = laid.to_bytes(8, "little")
            self.assertRaises(FrameError, ends.reader.take, 0)
        ends = Ends()
        ends.writer.lay(0, BATCH, 0, b"x")
        ends.memory[128 + 12] = 200  # the length
        self.assertRaises(FrameError, ends.reader.take, 0)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.one_of(st.integers(0, RING_SIZE // 3), st.none()), max_size=60))
    def test_order_holds_around_the_end_of_the_ring(self, steps: list[int | None]) -> None:
        """None: the server looks; a number: a part of so many bytes."""
        ends, laid, taken, frames = Ends(), list[bytes](), list[bytes](), list[bytes]()
        ends.writer.begin_run(0, BATCH, 0)
        for place, size in enumerate([*steps, None]):
            if size is not None:
                part = place.to_bytes(4, "big") * (size // 4 + 1)
                laid.append(part)
                if not (ends.writer.lay_next(part) or ends.writer.lay(0, BATCH, 0, part)):
                    frames.append(part)
                    ends.writer.frame_sent()
                continue
            taken += ends.taken()
            for frame in frames:
                taken += [*ends.taken(), frame]
                ends.reader.frame_read()
            frames.clear()
        self.assertEqual(taken, laid)
