"""A template that owes a fork, and does not come to it."""

from __future__ import annotations

import errno
import socket
from types import SimpleNamespace
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.template import LONGEST_FORK, Template
from modelserver.spec import WorkerFailure, WorkerSpec
from modelserver.testing.providers import make_spec


class OwedForkTests(SynchronousTestCase):
    """It is ended after a while, and who waited for it gets a process of its own."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.backend = mock.Mock()
        self.backend.local.machine.clock = self.clock
        self.backend.local.environment_for.return_value = {}
        self.template = Template(self.backend, WorkerSpec(make_spec("m"), "9000", None), "libraries")
        self.template.process = self.process = mock.Mock()
        self.template.preloaded([])

    def fork(self) -> Any:
        """A worker that is ordered."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        worker: Any = SimpleNamespace(
            spec=self.template.spec,
            ahead=None,
            is_given_up=False,
            take_far_end=lambda: theirs,
            make_pipes=lambda: [],
            launched=mock.Mock(),
        )
        self.template.fork(worker)
        return worker

    def test_it_hangs(self) -> None:
        worker = self.fork()
        self.clock.advance(LONGEST_FORK)
        self.process.kill.assert_called_once_with("exit")
        self.template.exited(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.backend.spawn_instead.assert_called_once_with(worker)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_is_in_time(self) -> None:
        self.fork()
        self.template.forked(1, 77)
        self.clock.advance(LONGEST_FORK)
        self.process.kill.assert_not_called()

    def test_there_are_no_descriptors_for_the_output_of_a_worker(self) -> None:
        problem = OSError(errno.EMFILE, "Too many open files")

        def make_pipes() -> list[int]:
            raise problem

        worker: Any = SimpleNamespace(disconnect=mock.Mock(), make_pipes=make_pipes)
        self.template.fork(worker)
        worker.disconnect.assert_called_once_with()
        self.backend.local.not_launched.assert_called_once_with(worker, problem)
        self.assertFalse(self.template.owes(worker))
        self.assertEqual(self.clock.getDelayedCalls(), [])
