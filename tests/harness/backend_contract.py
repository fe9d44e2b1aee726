"""What every backend does for the core: one class of tests, run by each provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from modelserver.errors import ServingError
from modelserver.interfaces import WorkerBackend, WorkerProcess
from modelserver.jobs import Answer, CallMarks
from modelserver.spec import WorkerFailure, WorkerSpec
from modelserver.testing.providers import make_job


@define(eq=False)
class RecordingEvents:
    """Keeps what a worker process reports, in order; ``when`` waits for more of it."""

    told: list[str] = field(factory=list)
    answers: list[tuple[int, Sequence[Answer | ServingError]]] = field(factory=list)
    failures: list[WorkerFailure] = field(factory=list)
    _waiting: list[tuple[Callable[[], bool], Deferred[None]]] = field(factory=list)

    def _tell(self, what: str) -> None:
        assert not self.failures or what == "turn_ended", f"{what} after the end"
        self.told.append(what)
        waiting, self._waiting = self._waiting, []
        for holds, waiter in waiting:
            if holds():
                waiter.callback(None)
            else:
                self._waiting.append((holds, waiter))

    def when(self, holds: Callable[[], bool]) -> Deferred[None]:
        """Fires when ``holds`` is true after an event, or is true now; fails when the worker ends before."""
        waiter: Deferred[None] = Deferred()
        if holds():
            waiter.callback(None)
        elif self.failures:
            waiter.errback(AssertionError(f"it has ended: {self.failures[0]}"))
        else:
            self._waiting.append((holds, waiter))
        return waiter

    def started(self) -> None:
        self._tell("started")

    def loaded(self) -> None:
        self._tell("loaded")

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        assert seconds >= 0
        self.answers.append((number, answers))
        self._tell("answered")

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        self._tell("part_arrived")

    def timed(self, number: int, place: int, marks: CallMarks) -> None:
        self._tell(f"timed {number} {place} {marks}")

    def dropped(self, number: int, calls: int) -> None:
        self._tell(f"dropped {number} {calls}")

    def counted(self, metrics: Sequence[Mapping[str, object]]) -> None:
        self._tell("counted")

    def went_silent(self, failure: WorkerFailure) -> None:
        self._tell("went_silent")

    def heard_again(self) -> None:
        self._tell("heard_again")

    def turn_ended(self) -> None:
        self._tell("turn_ended")

    def exited(self, failure: WorkerFailure) -> None:
        assert not self.failures, "a second end"
        self._tell("exited")
        self.failures.append(failure)
        self._tell("turn_ended")
        waiting, self._waiting = self._waiting, []
        for _, waiter in waiting:
            waiter.errback(AssertionError(f"it has ended: {failure}"))

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return bool(self.failures)


class BackendContract(TestCase):
    """
    What every backend does. A provider gives ``backend`` and specs of a handler that echoes and of one
    that cannot load; ``nudge`` lets a provider in memory do what a process does by itself.
    """

    __test__ = False
    backend: WorkerBackend

    def echo_spec(self, worker: str) -> WorkerSpec:
        """A worker that answers each item with its body."""
        raise NotImplementedError

    def broken_spec(self, worker: str) -> WorkerSpec:
        """A worker that cannot load."""
        raise NotImplementedError

    def nudge(self, process: WorkerProcess) -> None:
        """The next thing happens."""

    async def launch(self) -> tuple[RecordingEvents, WorkerProcess]:
        """A worker that has loaded."""
        events = RecordingEvents()
        process = self.backend.launch(events, self.echo_spec("9000"))
        self.assertEqual([], events.told)  # nothing is reported before launch has returned
        self.nudge(process)
        await events.when(lambda: "loaded" in events.told)
        self.assertEqual(["started", "loaded"], [told for told in events.told if told != "turn_ended"])
        return events, process

    async def end(self, events: RecordingEvents, process: WorkerProcess) -> WorkerFailure:
        """Stop it, and wait."""
        process.stop()
        await events.when(lambda: events.is_over)
        return events.failures[0]

    async def test_worker_answers_batches_in_order(self) -> None:
        events, process = await self.launch()
        self.assertIsNotNone(process.pid)
        bodies = [[b"one", b"two"], [b""], [b"x" * 3_000_000]]
        for number, batch in enumerate(bodies, 7):
            process.send(number, [make_job(body) for body in batch])
            process.flush()
        for _ in bodies:
            self.nudge(process)
        await events.when(lambda: len(events.answers) == 3)
        expected = [(number, [(200, body) for body in batch]) for number, batch in enumerate(bodies, 7)]
        got = [
            (number, [(answer.status, bytes(answer.body)) for answer in answers if isinstance(answer, tuple)])
            for number, answers in events.answers
        ]
        self.assertEqual(expected, got)
        await self.end(events, process)

    async def test_turn_ends_after_its_answers(self) -> None:
        events, process = await self.launch()
        process.send(1, [make_job(b"a")])
        process.flush()
        self.nudge(process)
        await events.when(lambda: bool(events.answers))
        await events.when(lambda: events.told[-1] == "turn_ended")
        self.assertGreater(
            len(events.told) - events.told[::-1].index("turn_ended"), events.told.index("answered")
        )
        await self.end(events, process)

    async def test_stopped_worker_ends_once_and_without_blame(self) -> None:
        events, process = await self.launch()
        failure = await self.end(events, process)
        self.assertEqual("exit", failure.cause)
        self.assertIsNone(process.pid)
        process.stop()
        process.kill("response timeout")
        self.assertEqual(1, len(events.failures))

    async def test_killed_worker_names_the_cause(self) -> None:
        events, process = await self.launch()
        process.kill("response timeout")
        await events.when(lambda: events.is_over)
        (failure,) = events.failures
        self.assertEqual(("response timeout", "SIGKILL"), (failure.cause, failure.signal))
        self.assertIsNone(process.pid)

    async def test_worker_that_cannot_load_tells_why(self) -> None:
        events = RecordingEvents()
        process = self.backend.launch(events, self.broken_spec("9001"))
        self.nudge(process)
        await events.when(lambda: events.is_over)
        (failure,) = events.failures
        self.assertEqual(("load", "ZeroDivisionError"), (failure.cause, failure.exception))
        self.assertNotIn("loaded", events.told)
        self.assertIsNone(process.pid)

    async def test_launched_worker_may_be_killed_at_once(self) -> None:
        events = RecordingEvents()
        process = self.backend.launch(events, self.echo_spec("9000"))
        process.kill("startup timeout")
        await events.when(lambda: events.is_over)
        self.assertEqual("startup timeout", events.failures[0].cause)

    async def test_launched_worker_may_be_stopped_at_once(self) -> None:
        events = RecordingEvents()
        process = self.backend.launch(events, self.echo_spec("9000"))
        await self.end(events, process)
        self.assertEqual("exit", events.failures[0].cause)

    async def test_retiring_a_version_leaves_its_workers(self) -> None:
        events, process = await self.launch()
        self.backend.retire("resnet", "1.0")
        process.send(1, [make_job(b"a")])
        process.flush()
        self.nudge(process)
        await events.when(lambda: bool(events.answers))
        await self.end(events, process)
