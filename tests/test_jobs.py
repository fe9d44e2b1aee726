"""Jobs' own words."""

from __future__ import annotations

from unittest import TestCase

from modelserver.jobs import Answer, StreamedParts, bodies_of


class StreamedPartsTests(TestCase):
    """Parts of which only the first has more than a body."""

    def setUp(self) -> None:
        self.answers = [Answer(201, b"Made\r\n", b"a"), Answer(200, b"", b"b"), Answer(200, b"", b"c")]
        self.parts = StreamedParts(self.answers[0])
        self.parts.bodies += (b"b", b"c")

    def test_they_are_as_a_list_of_answers_would_be(self) -> None:
        self.assertEqual(list(self.parts), self.answers)
        for place in range(-3, 3):
            self.assertEqual(self.parts[place], self.answers[place])
        for place in (-4, 3):
            self.assertRaises(IndexError, self.parts.__getitem__, place)
        for cut in (slice(0, None, 2), slice(1, None, 2), slice(-1, None), slice(5, 9)):
            self.assertEqual(self.parts[cut], self.answers[cut])
        self.assertEqual((len(self.parts), self.answers[2] in self.parts), (3, True))

    def test_bodies_of_either_kind(self) -> None:
        self.assertEqual(bodies_of(self.parts), [b"a", b"b", b"c"])
        self.assertEqual(bodies_of(self.answers), [b"a", b"b", b"c"])
