"""Snapshots that cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.management.snapshots.writer import Snapshots
from modelserver.spec import VersionDescription


def in_thread(*arguments: object, **named: object) -> Any:
    """Refuse, as where no thread can be started."""
    raise RuntimeError("can't start new thread")


def no_time() -> NoReturn:
    """Refuse, as where the zone is none."""
    raise ValueError("offset must be a timedelta strictly between -24 and 24 hours")


class UnwritableTests(SynchronousTestCase):
    """Whoever waits for a snapshot goes on without it."""

    def check(self, why: str, versions: Callable[[], Iterable[VersionDescription]]) -> None:
        """Have a change, and the end, with snapshots that fail for a reason."""
        soon: list[Callable[[], None]] = []
        snapshots = Snapshots(
            folder=Path("/no/such/folder"),
            properties={},
            versions=versions,
            now=lambda: 1.0,
            in_thread=in_thread,
            run_soon=soon.append,
        )
        self.successResultOf(snapshots.begin())
        changed = snapshots.changed()
        soon.pop()()
        self.successResultOf(changed)
        self.successResultOf(Deferred.fromCoroutine(snapshots.end()))
        self.assertIn(why, snapshots._why)

    def test_what_cannot_be_written_holds_nobody_up(self) -> None:
        self.check("offset must be", no_time)

    def test_no_thread_holds_nobody_up(self) -> None:
        self.check("can't start new thread", list)
