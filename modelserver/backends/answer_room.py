"""Room in shared memory for large answers to requests that are small."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field

from modelserver.errors import ServingError
from modelserver.jobs import Answer, Job, SharedSlot
from modelserver.language.attributes import define
from modelserver.protocol.answer_rows import Answered
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool

CALLS = 100
"""How many jobs get room after a large answer; the next one, without any, tells whether that goes on."""


@define(eq=False)
class AnswerRoom:
    """
    Moves the bodies of jobs to shared memory where a worker's answers turn out to be large.

    A large answer is laid over the body of its request, if that lies there; one that goes through the socket
    is copied twice more. What a model makes of small requests, pictures or speech, say, is only known from
    the answers before.
    """

    slots: SharedMemoryPool
    left: int = field(default=0, init=False)
    """How many jobs more are to get room."""

    def note(self, answered: Sequence[Answered]) -> None:
        """Look at answers that came in a large frame."""
        if any(self._is_large(answer) for _, answers, _ in answered for answer in answers):
            self.left = CALLS

    def _is_large(self, answer: Answer | ServingError) -> bool:
        if isinstance(answer, ServingError) or isinstance(answer.body, memoryview):
            return False
        return LARGE <= len(answer.body) <= self.slots.size

    def give(self, jobs: Sequence[Job]) -> None:
        """Have the bodies of jobs lie where there is room for answers; those without a place stay."""
        self.left = max(0, self.left - len(jobs))
        for job in jobs:
            body = job.request.body
            if not isinstance(body, SharedSlot):
                slot = self.slots.put(body)
                if slot is None:
                    return
                job.move_body(slot)
