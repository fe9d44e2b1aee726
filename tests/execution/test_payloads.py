"""Large bodies stay where they are from worker to worker, and their places come back."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.execution.payloads import Payload, PayloadStore
from modelserver.jobs import NOWHERE, Answer, Inputs, Job, SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.testing.providers import CollectingObserver
from tests.harness.run_stage import CHAIN, DIAMOND, FAILURE, LARGEST, RunStage, settings

SIZE = 100_000
IN, PRE, MID, OUT = (bytes([letter]) * SIZE for letter in b"ipmo")


def place_of(job: Job) -> SharedSlot:
    """Where the body of a job lies."""
    assert isinstance(job.request.body, SharedSlot)
    return job.request.body


class Keeper(CollectingObserver):
    """Keeps the places of answers, as connections do until an answer is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[SharedSlot | None] = []

    def completed(self, job: Job, answer: Answer) -> None:
        """Take the place."""
        self.places.append(job.hand_over_place())


class ReferenceTests(SynchronousTestCase):
    """Runs whose bodies lie in shared memory."""

    def make(self, edges: dict[str, list[str]] = CHAIN, **more: object) -> RunStage:
        stage = RunStage(edges, has_slots=True, **more)  # type: ignore[arg-type]  # nodes
        assert stage.slots is not None
        self.slots: SharedMemoryPool = stage.slots
        self.addCleanup(stage.slots.close)
        self.free = stage.slots.free
        return stage

    @property
    def used(self) -> int:
        """How many slots are taken."""
        return self.free - self.slots.free

    def test_answer_of_a_node_is_the_input_of_the_next_where_it_lies(self) -> None:
        stage = self.make()
        observer, _ = stage.ask(stage.slot(IN))
        places = []
        for node, body, answer in (("pre", IN, PRE), ("mid", PRE, MID), ("post", MID, OUT)):
            (current,) = stage.jobs(node)
            places.append(place_of(current))
            self.assertEqual(([body], 2), (stage.inputs(node), self.used))
            stage.answer(node, answer)
        self.assertEqual(places[0].answer_at, places[1].offset)
        self.assertEqual(places[1].answer_at, places[2].offset)
        self.assertEqual([OUT], observer.bodies)
        self.assertEqual(0, self.used)

    def test_front_may_keep_the_place_of_the_answer(self) -> None:
        stage = self.make()
        keeper = Keeper()
        stage.workflows.predict("w", None, Inputs(b"", b"", stage.slot(IN)), keeper)
        stage.stage.turn()
        for node in ("pre", "mid", "post"):
            stage.answer(node, OUT)
        (place,) = keeper.places
        assert place is not None
        self.assertEqual((OUT, 1), (bytes(self.slots.view(place)), self.used))
        place.free()
        self.assertEqual(0, self.used)

    def test_attempt_that_was_given_up_cannot_touch_the_next_one(self) -> None:
        stage = self.make(mid=settings("mid", timeout=0.5, batch_size=2))
        observer, _ = stage.ask(stage.slot(IN))
        stage.answer("pre", PRE)
        (first,) = [job for _, jobs in stage.worker("mid").batches for job in jobs]
        stage.clock.advance(0.5)
        stage.answer("mid", b"x" * SIZE)  # by the first attempt, too late
        (second,) = stage.jobs("mid")
        self.assertEqual(place_of(first).offset, place_of(second).offset)
        self.assertNotEqual(place_of(first).answer_at, place_of(second).answer_at)
        self.assertEqual([PRE], stage.inputs("mid"))
        stage.answer("mid", MID)
        stage.answer("post", OUT)
        self.assertEqual(([OUT], 0), (observer.bodies, self.used))

    def test_second_attempt_gets_what_the_first_one_got(self) -> None:
        stage = self.make()
        observer, _ = stage.ask(stage.slot(IN))
        stage.answer("pre", FAILURE)
        self.assertEqual([IN], stage.inputs("pre"))
        self.assertEqual(2, self.used)
        stage.answer("pre", FAILURE)
        self.assertEqual((1, 0), (len(observer.errors), self.used))

    def test_branches_read_one_place(self) -> None:
        stage = self.make(DIAMOND)
        observer, _ = stage.ask(stage.slot(IN))
        stage.answer("pre", PRE)
        (left,), (right,) = stage.jobs("left"), stage.jobs("right")
        self.assertEqual(place_of(left).offset, place_of(right).offset)
        self.assertEqual(3, self.used)
        stage.answer("left", MID)
        self.assertEqual([PRE], stage.inputs("right"))
        stage.answer("right", b"small")
        (job,) = stage.jobs("post")
        self.assertEqual(MID + b"small", stage.body_of(job))
        stage.answer("post", b"done")
        self.assertEqual(([b"done"], 0), (observer.bodies, self.used))

    def test_large_answer_to_a_small_request_is_laid_where_the_next_one_reads_it(self) -> None:
        stage = self.make()
        observer, _ = stage.ask(b"small")
        stage.answer("pre", PRE)
        self.assertEqual([PRE], stage.inputs("mid"))
        self.assertEqual(2, self.used)
        stage.answer("mid", b"small")
        self.assertEqual(0, self.used)
        stage.answer("post", OUT)
        self.assertEqual(([OUT], 0), (observer.bodies, self.used))

    def test_parts_before_a_large_answer_are_not_lost(self) -> None:
        for node, is_strict in (("mid", False), ("post", True)):
            stage = self.make(is_strict=is_strict)
            observer, _ = stage.ask(stage.slot(IN))
            stage.answer("pre", PRE)
            if node == "post":
                stage.answer("mid", MID)
            stage.worker(node).send_part(b"one ")
            stage.answer(node, OUT)
            self.assertEqual([b"one " + OUT], stage.inputs("post") if node == "mid" else observer.bodies)
            if node == "mid":
                stage.answer("post", b"done")
            self.assertEqual(0, self.used)

    def test_without_a_free_slot_bodies_go_another_way(self) -> None:
        stage = self.make()
        body = stage.slot(IN)
        taken = []
        while (slot := self.slots.take(1)) is not None:
            taken.append(slot)
        observer, _ = stage.ask(body)
        (job,) = stage.jobs("pre")
        self.assertEqual(NOWHERE, place_of(job).answer_at)
        for node, answer in (("pre", PRE), ("mid", MID), ("post", OUT)):
            stage.answer(node, answer)
        for slot in taken:
            slot.free()
        self.assertEqual(([OUT], 0), (observer.bodies, self.used))

    def test_client_who_leaves_gives_back_what_no_worker_can_touch(self) -> None:
        stage = self.make()
        _, job = stage.ask(stage.slot(IN))
        job.withdraw()
        self.assertEqual(2, self.used)
        stage.answer("pre", PRE)
        self.assertEqual(0, self.used)


class PayloadTests(SynchronousTestCase):
    """Payloads by themselves."""

    def test_place_comes_back_with_the_last_holder(self) -> None:
        freed: list[bool] = []
        payload = Payload(b"x", SharedSlot(0, 1, lambda: freed.append(True)))
        payload.keep().drop()
        self.assertEqual([], freed)
        payload.drop()
        self.assertEqual([True], freed)

    def test_fields_lie_behind_each_other(self) -> None:
        slots = SharedMemoryPool.open(LARGEST)
        assert slots is not None
        self.addCleanup(slots.close)
        for store in (PayloadStore(), PayloadStore(slots)):
            for first in (b"", b"a", PRE):
                payload, table = store.joined([("one", Payload(first)), ("ü", Payload(b"bc"))])
                self.assertEqual(first + b"bc", bytes(payload.data))
                self.assertEqual(b'{"fields": [["one", %d], ["\\u00fc", 2]]}' % len(first), table)
                is_shared = store.slots is not None and first == PRE
                self.assertEqual(is_shared, payload.slot is not None)
