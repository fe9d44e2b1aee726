"""Which answers of a remote worker are wanted: not those of batches that other workers have by now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import field

from modelserver.errors import ServingError
from modelserver.jobs import Answer
from modelserver.language.attributes import define

Answered = tuple[int, Sequence[Answer | ServingError], float]
"""The number of a batch, answers to its next jobs, and the seconds that these took."""


@define(eq=False)
class AwaitedAnswers:
    """Counts, for each batch that a worker was sent, the answers that are still to come."""

    _in_hand: dict[int, int] = field(factory=dict, init=False)
    _given_up: dict[int, int] = field(factory=dict, init=False)

    def sent(self, number: int, jobs: int) -> None:
        """Await the answers of a batch."""
        self._in_hand[number] = jobs

    def give_up(self) -> None:
        """Await nothing more of the batches that were sent so far: their jobs are others'."""
        self._given_up |= self._in_hand
        self._in_hand = {}

    def is_given_up(self, number: int) -> bool:
        """Return whether a batch is not the worker's any more, though answers of it are still to come."""
        return number in self._given_up

    def wanted(self, answered: Iterable[Answered]) -> Iterator[Answered]:
        """Count answers that have come, and yield those that somebody waits for."""
        for number, answers, seconds in answered:
            counts = self._given_up if number in self._given_up else self._in_hand
            left = counts.get(number, 0) - len(answers)
            if left > 0:
                counts[number] = left
            else:
                counts.pop(number, None)
            if counts is self._in_hand:
                yield number, answers, seconds
