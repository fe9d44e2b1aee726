"""The threads of libraries after a fork, told by a process that forks itself."""

from __future__ import annotations

import subprocess
import sys
from unittest import TestCase

from modelserver.child.process.library_threads import wanted_threads

FORKED = """
import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy

square = numpy.ones((300, 300))
square @ square
before = len(os.listdir("/proc/self/task"))
child = os.fork()
if child == 0:
    os.environ["OPENBLAS_NUM_THREADS"] = "2"
    from modelserver.child.process.library_threads import set_library_threads

    set_library_threads()
    square @ square
    os._exit(len(os.listdir("/proc/self/task")))
_, status = os.waitpid(child, 0)
print(before, os.waitstatus_to_exitcode(status), len(os.sched_getaffinity(0)))
"""


class LibraryThreadsTests(TestCase):
    """What the environment says is what the libraries get."""

    def test_numpy_that_was_loaded_before_the_fork(self) -> None:
        ran = subprocess.run(
            [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=True
        )
        before, after, processors = map(int, ran.stdout.split())
        self.assertEqual((before, after), (1, min(2, processors)))

    def test_number_of_the_environment(self) -> None:
        for variables, names, number in (
            ({}, ("A", "B"), None),
            ({"A": "x", "B": "3"}, ("A", "B"), 3),
            ({"A": "2,1", "B": "3"}, ("A", "B"), 2),
            ({"A": "0"}, ("A",), None),
        ):
            self.assertEqual(wanted_threads(names, variables), number)
