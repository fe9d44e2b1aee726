"""Which jobs get room for a large answer."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.answer_room import CALLS, AnswerRoom
from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer, Job, SharedSlot
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.testing.providers import make_job

SLOTS = 3
SIZE = 2 * LARGE


class AnswerRoomTests(SynchronousTestCase):
    """Small requests of a model whose answers may be large."""

    def setUp(self) -> None:
        self.slots = SharedMemoryPool(-1, SIZE, memoryview(bytearray(SLOTS * SIZE)))
        self.room = AnswerRoom(self.slots)

    def answered(self, *bodies: bytes) -> None:
        self.room.note([(1, [Answer(200, b"", body) for body in bodies], 0.1)])

    def give(self, *bodies: bytes) -> list[Job]:
        jobs = [make_job(body) for body in bodies]
        self.room.give(jobs)
        return jobs

    def test_a_large_answer_asks_for_room(self) -> None:
        self.answered(b"x", b"x" * (LARGE - 1))
        self.assertEqual(0, self.room.left)
        self.answered(b"x", b"x" * LARGE)
        self.assertEqual(CALLS, self.room.left)

    def test_what_no_slot_can_hold_asks_for_none(self) -> None:
        self.answered(b"x" * (SIZE + 1))
        self.room.note([(1, [PredictionFailed(503, "x" * SIZE)], 0.1)])
        self.assertEqual(0, self.room.left)

    def test_so_many_jobs_have_it(self) -> None:
        self.answered(b"x" * LARGE)
        for _ in range(CALLS - 1):
            (job,) = self.give(b"a")
            job.settle(Answer(200, b"", b""))
        self.assertEqual(1, self.room.left)
        self.give(b"a", b"b")
        self.assertEqual(0, self.room.left)

    def test_bodies_lie_there_until_their_jobs_are_over(self) -> None:
        jobs = self.give(b"first", b"", b"third", b"fourth")
        places = [job.request.body for job in jobs]
        self.assertEqual(b"fourth", places.pop())
        for place, body in zip(places, (b"first", b"", b"third"), strict=True):
            assert isinstance(place, SharedSlot)
            self.assertEqual(body, bytes(self.slots.view(place)))
        self.assertEqual(0, self.slots.free)
        jobs[0].settle(Answer(200, b"", b"x"))
        jobs[1].cancel()
        self.assertEqual(SLOTS - 1, self.slots.free)
        taken = jobs[2].hand_over_place()
        jobs[2].settle(Answer(200, b"", b"x"))
        self.assertEqual(SLOTS - 1, self.slots.free)
        assert taken is not None
        taken.free()
        self.assertEqual(SLOTS, self.slots.free)

    def test_one_that_has_a_place_keeps_it(self) -> None:
        (job,) = self.give(b"a")
        place = job.request.body
        self.room.give([job])
        self.assertIs(place, job.request.body)
        self.assertEqual(SLOTS - 1, self.slots.free)
