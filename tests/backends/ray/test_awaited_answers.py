"""Late answers of a worker that was silent are nobody's."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.awaited_answers import AwaitedAnswers
from modelserver.jobs import Answer

ONE = (Answer(200, b"", b"x"),)


class AwaitedAnswersTests(SynchronousTestCase):
    """Batches 1 and 2 were sent, with two jobs and with one."""

    def setUp(self) -> None:
        self.awaited = AwaitedAnswers()
        self.awaited.sent(1, 2)
        self.awaited.sent(2, 1)

    def wanted(self, *numbers: int) -> list[int]:
        """The batches of wanted answers, where one answer of each of these has come."""
        return [number for number, *_ in self.awaited.wanted((number, ONE, 0.0) for number in numbers)]

    def test_answers_are_wanted(self) -> None:
        self.assertEqual(self.wanted(1, 2, 1), [1, 2, 1])
        self.assertFalse(self.awaited.is_given_up(1))

    def test_answers_of_batches_that_were_given_up_are_not(self) -> None:
        self.assertEqual(self.wanted(1), [1])
        self.awaited.give_up()
        self.assertTrue(self.awaited.is_given_up(1))
        self.awaited.sent(3, 1)
        self.assertEqual(self.wanted(1, 3, 2), [3])

    def test_a_number_that_comes_again_is_a_new_batch(self) -> None:
        self.awaited.give_up()
        self.assertEqual(self.wanted(2), [])
        self.assertFalse(self.awaited.is_given_up(2))
        self.awaited.sent(2, 1)
        self.assertEqual(self.wanted(2), [2])
