"""What the process keeps of the memory that it has freed."""

from __future__ import annotations

import subprocess
import sys
from unittest import TestCase

from modelserver.system.allocation import (
    LARGEST_BLOCK,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    MOST_KEPT,
    keep_freed_memory,
)

PROGRAM = """
import os, resource, sys
from modelserver.system.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory({})
bytes(1_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    b"".join((b"a" * 999_000, b"b" * 1000))
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
blocks = [bytearray(b"a") * 1_000_000 for _ in range(200)]
del blocks
with open("/proc/self/statm") as file:
    print(faults, int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
"""


class AllocationTests(TestCase):
    """mallopt(3), in a test's hands and in a process of its own."""

    def setUp(self) -> None:
        self.told: list[tuple[int, int]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        """Keep what is asked."""
        self.told.append((parameter, value))
        return 1

    def test_both_thresholds_are_set(self) -> None:
        self.assertTrue(keep_freed_memory({"PATH": "/bin"}, self.mallopt))
        self.assertEqual([(M_MMAP_THRESHOLD, LARGEST_BLOCK), (M_TRIM_THRESHOLD, MOST_KEPT)], self.told)

    def test_whoever_runs_the_server_decides(self) -> None:
        for name in ("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
            self.assertFalse(keep_freed_memory({name: "1"}, self.mallopt))
        self.assertEqual([], self.told)

    def test_a_library_that_refuses_is_no_harm(self) -> None:
        self.assertFalse(keep_freed_memory({}, lambda parameter, value: 0))

    def test_blocks_come_without_new_pages_and_what_is_kept_is_bounded(self) -> None:
        def run(word: str) -> tuple[int, int]:
            command = [sys.executable, "-c", PROGRAM, word]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            faults, resident = done.stdout.split()
            return int(faults), int(resident)

        faults, resident = run("keep")
        self.assertLess(faults, 3000)
        self.assertLess(resident, MOST_KEPT + (60 << 20))
