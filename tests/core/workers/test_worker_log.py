"""Each event of a worker's life has its phrases in the log, those of the peers, at its moment."""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import evolve, frozen
from twisted.logger import LogLevel, capturedLogs, formatEvent

from modelserver.core.workers.worker_log import NO_RESPONSE
from modelserver.spec import WorkerFailure
from tests.harness.workers import CRASH, TIMEOUTS, WorkerTestCase

W = "W-9000-resnet_1.0 State change "
DIED = "Backend worker monitoring thread interrupted or backend worker process died., responseTimeout:2sec"
NOT_LOADED = WorkerFailure("load", 0.0, exit_code=1, exception="ValueError", text="no")
LATE = (
    "Number or consecutive unsuccessful inference 1",
    f"Backend worker error\n{NO_RESPONSE}",
)
RETRY = ("Auto recovery start timestamp: NOW", "Retry worker: 9000 in 1 seconds.")


Step = Callable[["WorkerLogTests"], object]


def one_by_one(*steps: Step) -> Step:
    """Make several steps one."""

    def make(case: WorkerLogTests) -> None:
        for step in steps:
            step(case)

    return make


@frozen
class Event:
    """
    What happens to a worker, and the lines that it makes.

    :param before: brings the worker to where it happens.
    """

    name: str
    happens: Step
    lines: tuple[str, ...]
    before: Step = lambda case: case.scaled()


class WorkerLogTests(WorkerTestCase):
    """A pool of one worker, led through the events."""

    def told(self, happens: Step) -> list[str]:
        """The lines that an event makes, without the one that only this server has."""
        with capturedLogs() as events:
            happens(self)
        lines = [str(formatEvent(event)) for event in events]
        return [re.sub(r"(?<=timestamp: )\d{13}$", "NOW", line) for line in lines if " ended: " not in line]

    def test_an_exception_is_named_by_its_traceback_alone(self) -> None:
        self.version.pool.scale(1, 1)
        self.process.events.started()
        told = evolve(NOT_LOADED, traceback=("Traceback ...", "ValueError: no"))
        with capturedLogs() as events:
            self.process.exit(told)
        lines = [str(formatEvent(event)) for event in events]
        self.assertIn("Load model failed: resnet, error: load, exited with code 1", lines)
        self.assertEqual([], [line for line in lines if "ValueError" in line])

    def fail_once(self) -> None:
        """Be ready, then die, and wait."""
        self.scaled()
        self.process.exit(CRASH)

    def run_into_time_out(self) -> None:
        """Let an answer take too long; the process is killed for it."""
        self.ask(b"a")
        self.clock.advance(TIMEOUTS.response)

    def give_up(self) -> None:
        """Die until nobody starts it again."""
        for _ in range(50):
            if not self.process.is_gone:
                self.process.exit(CRASH)
            self.clock.advance(8)

    def test_each_event_has_its_phrases(self) -> None:
        for event in EVENTS:
            with self.subTest(event=event.name):
                self.setUp()
                event.before(self)
                self.assertEqual(self.told(event.happens), list(event.lines))

    def test_giving_up_is_told_last_and_is_a_warning(self) -> None:
        with capturedLogs() as events:
            self.scaled()
            self.give_up()
        last = [event for event in events if "Auto recovery" in str(formatEvent(event))]
        self.assertIn("Auto recovery failed again", str(formatEvent(last[-1])))
        self.assertIs(last[-1]["log_level"], LogLevel.warn)
        starts = [event for event in last if "start timestamp" in str(formatEvent(event))]
        self.assertEqual(len(starts), 1)

    def test_a_time_out_is_an_error(self) -> None:
        self.scaled()
        with capturedLogs() as events:
            self.run_into_time_out()
        levels = [event["log_level"] for event in events if "Backend worker" in str(formatEvent(event))]
        self.assertEqual(levels[0], LogLevel.error)


EVENTS = (
    Event("launch", lambda case: case.version.pool.scale(1, 1), (), before=lambda case: None),
    Event(
        "start and load",
        lambda case: case.process.load(),
        (W + "null -> WORKER_STARTED", W + "WORKER_STARTED -> WORKER_MODEL_LOADED"),
        before=lambda case: case.version.pool.scale(1, 1),
    ),
    Event(
        "a load that fails",
        one_by_one(lambda case: case.process.events.started(), lambda case: case.process.exit(NOT_LOADED)),
        (
            W + "null -> WORKER_STARTED",
            "Load model failed: resnet, error: load, exited with code 1, ValueError: no",
            W + "WORKER_STARTED -> WORKER_ERROR",
            "9000 Worker disconnected. WORKER_ERROR",
            DIED,
            W + "WORKER_ERROR -> WORKER_STOPPED",
            *RETRY,
        ),
        before=lambda case: case.version.pool.scale(1, 1),
    ),
    Event(
        "a crash",
        lambda case: case.process.exit(CRASH),
        (
            "9000 Worker disconnected. WORKER_MODEL_LOADED",
            DIED,
            W + "WORKER_MODEL_LOADED -> WORKER_STOPPED",
            *RETRY,
        ),
    ),
    Event(
        "recovery",
        one_by_one(lambda case: case.clock.advance(1), lambda case: case.process.load()),
        (
            W + "WORKER_STOPPED -> WORKER_STARTED",
            W + "WORKER_STARTED -> WORKER_MODEL_LOADED",
            "Auto recovery succeeded, reset recoveryStartTS",
        ),
        before=lambda case: case.fail_once(),
    ),
    Event(
        "a late answer",
        lambda case: case.run_into_time_out(),
        (
            *LATE,
            "9000 Worker disconnected. WORKER_MODEL_LOADED",
            W + "WORKER_MODEL_LOADED -> WORKER_STOPPED",
            *RETRY,
        ),
    ),
    Event(
        "a late start",
        lambda case: case.clock.advance(TIMEOUTS.startup),
        (
            *LATE,
            "9000 Worker disconnected. WORKER_STARTED",
            W + "WORKER_STARTED -> WORKER_STOPPED",
            *RETRY,
        ),
        before=one_by_one(
            lambda case: case.version.pool.scale(1, 1), lambda case: case.process.events.started()
        ),
    ),
    Event(
        "scaling down",
        one_by_one(
            lambda case: case.version.pool.scale(0, 0),
            lambda case: case.process.exit(WorkerFailure("exit", 0.0, 0)),
        ),
        (
            W + "WORKER_MODEL_LOADED -> WORKER_SCALED_DOWN",
            "9000 Worker disconnected. WORKER_SCALED_DOWN",
            W + "WORKER_SCALED_DOWN -> WORKER_STOPPED",
            "Worker terminated due to scale-down call.",
        ),
    ),
)
