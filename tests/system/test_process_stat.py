"""What ``/proc`` tells of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.process_stat import processor_seconds, start_of


class ProcessStatTests(SynchronousTestCase):
    """This process, and one that has ended."""

    def test_processor_seconds_grow_with_work(self) -> None:
        me = os.getpid()
        before, own = processor_seconds(me), time.process_time()
        while time.process_time() < own + 0.1:
            sum(range(1000))
        after = processor_seconds(me)
        assert before is not None and after is not None
        self.assertGreater(after, before)
        self.assertLess(abs(after - time.process_time()), 1.0)

    def test_a_process_that_has_ended(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            self.assertIsNotNone(start_of(os.getpid()))
        self.assertEqual((None, None), (start_of(ended.pid), processor_seconds(ended.pid)))
