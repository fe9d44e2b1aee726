"""What the service manager hears of a server."""

from __future__ import annotations

from typing import cast

from attrs import define, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import Registry
from modelserver.server.announcer import STATUS_EVERY, Announcer
from modelserver.server.supervision import Supervision, status_of
from modelserver.system.service_manager import ServiceManager
from modelserver.testing.providers import Stage, make_spec


@define
class Listening:
    """Instead of a socket."""

    watchdog: float | None = None
    heard: list[dict[str, str]] = field(factory=list)
    is_gone: bool = False

    def tell(self, **values: str) -> None:
        """Keep what is said."""
        if self.is_gone:
            raise FileNotFoundError("no such socket")
        self.heard.append(values)


class AnnouncerTests(SynchronousTestCase):
    """``Announcer``."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.status = "models: 0"

    def announcer(self, watchdog: float | None = None) -> tuple[Announcer, Listening]:
        listening = Listening(watchdog)
        announcer = Announcer(cast(ServiceManager, listening), self.clock, lambda: self.status)
        announcer.start()
        self.assertEqual(["STATUS"], list(listening.heard.pop()))
        return announcer, listening

    def test_ready_and_what_changes_after_it(self) -> None:
        announcer, listening = self.announcer()
        self.clock.pump([STATUS_EVERY] * 3)
        self.assertEqual([], listening.heard)
        announcer.ready()
        self.clock.pump([STATUS_EVERY] * 3)
        self.assertEqual([{"READY": "1", "STATUS": "models: 0"}], listening.heard)
        self.status = "models: 1"
        self.clock.pump([STATUS_EVERY] * 3)
        self.assertEqual([{"STATUS": "models: 1"}], listening.heard[1:])

    def test_the_watchdog_hears_twice_in_its_time_from_the_start_on(self) -> None:
        _, listening = self.announcer(watchdog=2.0)
        self.clock.pump([0.5] * 8)
        self.assertEqual([{"WATCHDOG": "1"}] * 4, listening.heard)

    def test_nothing_after_the_stop(self) -> None:
        announcer, listening = self.announcer(watchdog=2.0)
        announcer.stop()
        (said,) = listening.heard
        self.assertEqual("1", said["STOPPING"])
        announcer.ready()
        announcer.stop()
        self.clock.advance(60)
        self.assertEqual(1, len(listening.heard))

    def test_a_manager_that_is_gone_changes_nothing(self) -> None:
        announcer, listening = self.announcer(watchdog=2.0)
        listening.is_gone = True
        announcer.ready()
        self.clock.pump([1.0] * 5)
        listening.is_gone = False
        self.clock.advance(1.0)
        self.assertEqual([{"WATCHDOG": "1"}], listening.heard)


class StatusTests(SynchronousTestCase):
    """The line that people see."""

    def test_models_and_workers(self) -> None:
        stage, registry = Stage(), Registry()
        self.assertEqual("models: 0, workers: 0 of 0 ready", status_of(registry))
        version = stage.version(make_spec())
        registry.add(version)
        version.pool.scale(2, 2)
        stage.turn()
        stage.backend.workers[0].load()
        self.assertEqual("models: 1, workers: 1 of 2 ready", status_of(registry))

    def test_nobody_wants_to_know(self) -> None:
        self.assertIsNone(Supervision.from_environment({}, Clock()).announcer(Clock(), Registry()))
