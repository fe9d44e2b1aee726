"""Ids are never given twice, and the system is rarely asked."""

from __future__ import annotations

from itertools import count

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.ids import BLOCK, Entropy, ids_from


class EntropyTests(SynchronousTestCase):
    """Every byte of a block is given once."""

    def test_a_block_serves_many_and_no_byte_comes_twice(self) -> None:
        asked: list[int] = []
        numbers = count()

        def source(size: int) -> bytes:
            asked.append(size)
            return b"".join(next(numbers).to_bytes(4, "big") for _ in range(size // 4))

        entropy = Entropy(source).take
        given = [entropy(16) for _ in range(BLOCK // 16 + 3)]
        self.assertEqual(asked, [BLOCK, BLOCK])
        self.assertEqual(len(set(given)), len(given))
        self.assertEqual({len(each) for each in given}, {16})

    def test_more_than_a_block_is_asked_for_as_it_is(self) -> None:
        self.assertEqual(len(Entropy(bytes).take(BLOCK + 1)), BLOCK + 1)


class IdTests(SynchronousTestCase):
    """Ids are cut from blocks, one after the other."""

    def test_no_byte_comes_twice_and_a_block_is_asked_for_when_the_last_one_is_used_up(self) -> None:
        asked: list[int] = []
        numbers = count()

        def source(size: int) -> bytes:
            asked.append(size)
            return b"".join(next(numbers).to_bytes(16, "big") for _ in range(size // 16))

        new_id = ids_from(source, 16)
        self.assertEqual([], asked)
        given = [new_id() for _ in range(BLOCK // 16 + 3)]
        self.assertEqual(asked, [BLOCK, BLOCK])
        self.assertEqual([number.to_bytes(16, "big") for number in range(len(given))], given)
