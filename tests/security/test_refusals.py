"""Refused requests are counted, and told once a minute."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from modelserver.errors import AccessDenied
from modelserver.security.refusals import EVERY, Refusals
from modelserver.testing.providers import CountingRecorder


class RefusalsTests(SynchronousTestCase):
    """A counter, and the lines that it writes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.recorder = CountingRecorder()
        self.refusals = Refusals(self.clock, self.recorder)
        self.lines: list[str] = []

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_namespace") == "modelserver.security.refusals":
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def refuse(self, cause: str, times: int) -> None:
        for _ in range(times):
            self.refusals.note(cause, AccessDenied())

    def test_the_first_is_told_at_once_and_the_others_together(self) -> None:
        self.refuse("inference_key", 1000)
        self.refuse("page", 2)
        self.assertEqual(len(self.lines), 1)
        self.assertIn("inference_key 1.", self.lines[0])
        self.clock.advance(EVERY)
        self.assertEqual(len(self.lines), 2)
        self.assertIn("inference_key 999, page 2.", self.lines[1])

    def test_silence_ends_the_lines_and_the_next_is_told_at_once(self) -> None:
        self.refuse("page", 1)
        self.clock.advance(EVERY)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.refuse("page", 1)
        self.assertEqual(len(self.lines), 2)

    def test_every_one_is_counted(self) -> None:
        self.refuse("management_key", 7)
        self.assertEqual(self.recorder.counts, {("refused", "", "management_key"): 7})
