"""Workers on nodes whose start meets a defect end at once, with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.backend import RemoteBackend
from modelserver.backends.ray.remote_services import RemoteServices
from modelserver.spec import WorkerSettings, WorkerSpec
from modelserver.testing.providers import START_OF_TIME, make_spec
from tests.backends.ray.test_remote_process import NoLoop
from tests.harness.backend_contract import RecordingEvents


class BrokenStarter:
    """Has a defect."""

    async def join(self) -> str:
        raise ZeroDivisionError("no cluster")


class StartTests(SynchronousTestCase):
    """A starter that raises what nobody expects."""

    def test_worker_ends_with_the_reason(self) -> None:
        loop, events = NoLoop(), RecordingEvents()
        backend = RemoteBackend(
            starter=cast(Any, BrokenStarter()),
            listener=cast(Any, None),
            certificate="",
            services=RemoteServices(loop, Clock(), lambda: START_OF_TIME, None, 3.0, 15.0),
            settings=WorkerSettings(),
            files=cast(Any, None),
            address="",
            folder=Path("/nowhere"),
            cache_size=0,
        )
        backend.launch(events, WorkerSpec(make_spec(), "9000"))
        while loop.soon:
            loop.soon.pop(0)()
        (failure,) = events.failures
        self.assertEqual(failure.cause, "launch")
        self.assertIn("no cluster", str(failure))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
