"""Versions have an order, whatever they are called."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.version_order import in_order


class OrderTests(SynchronousTestCase):
    """By PEP 440, or as texts."""

    def test_numbers_and_what_goes_before_and_after_them(self) -> None:
        wanted = ["1.0b7", "1.0", "1.0.post1", "1.9", "1.10", "2.0rc1", "2.0", "2024.01"]
        self.assertEqual(in_order(reversed(wanted)), wanted)
        self.assertEqual(in_order(["1.0", "1.0-beta+7"]), ["1.0-beta+7", "1.0"])

    def test_equal_ones_are_ordered_as_texts(self) -> None:
        self.assertEqual(in_order(["1.0.0", "1", "1.0"]), ["1", "1.0", "1.0.0"])

    def test_one_that_is_none_makes_all_of_them_texts(self) -> None:
        self.assertEqual(in_order(["1.9", "latest", "1.10"]), ["1.10", "1.9", "latest"])
