"""A memo makes each value once, and stays small."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.bounded_cache import Memo


class MemoTests(SynchronousTestCase):
    """What is made, what is kept, and what is not."""

    def setUp(self) -> None:
        self.made: list[str] = []

    def make(self, key: str) -> int:
        self.made.append(key)
        return int(key)

    def test_a_value_is_made_once(self) -> None:
        memo = Memo(self.make, 2)
        self.assertEqual([memo["1"], memo["1"]], [1, 1])
        self.assertEqual(self.made, ["1"])

    def test_all_is_forgotten_when_there_is_too_much(self) -> None:
        memo = Memo(self.make, 2)
        for key in ("1", "2", "3", "1"):
            self.assertEqual(memo[key], int(key))
        self.assertEqual((self.made, dict(memo)), (["1", "2", "3", "1"], {"3": 3, "1": 1}))

    def test_neither_long_keys_nor_failures_are_kept(self) -> None:
        memo = Memo(self.make, 2, longest=1)
        self.assertEqual([memo["11"], memo["11"]], [11, 11])
        self.assertRaises(ValueError, lambda: memo["x"])
        self.assertEqual((self.made, dict(memo)), (["11", "11", "x"], {}))
