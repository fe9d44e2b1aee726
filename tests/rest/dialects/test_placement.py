"""Describing a model tells where its workers are that are on other machines, in both dialects."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rest.dialects.bodies import process_id, worker_history
from modelserver.spec import WorkerDescription, WorkerPlace, WorkerState
from modelserver.testing.providers import START_OF_TIME


class PlacementTests(SynchronousTestCase):
    """What is shown of a worker's place."""

    def test_worker_here_has_none(self) -> None:
        worker = WorkerDescription("9000", WorkerState.READY, START_OF_TIME, 41)
        self.assertEqual({}, worker_history(worker))

    def test_worker_on_a_node(self) -> None:
        place = WorkerPlace("b/1234", "192.0.2.2", "0815", "it has CPU 1", pid=4711)
        worker = WorkerDescription("9000", WorkerState.SUSPECT, START_OF_TIME, place=place)
        shown = {
            "node": "b/1234",
            "address": "192.0.2.2",
            "placementGroup": "0815",
            "reason": "it has CPU 1",
            "suspect": True,
        }
        self.assertEqual(({"placement": shown}, 4711), (worker_history(worker), process_id(worker)))

    def test_worker_without_a_place_says_what_was_asked_and_what_is_free(self) -> None:
        place = WorkerPlace(reason="asked for CPU 4; free: a: CPU 1")
        worker = WorkerDescription("9000", WorkerState.STARTING, START_OF_TIME, place=place)
        shown = {"reason": "asked for CPU 4; free: a: CPU 1"}
        self.assertEqual(({"placement": shown}, -1), (worker_history(worker), process_id(worker)))
