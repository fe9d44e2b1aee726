"""The memory of process trees."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import PIPE, Popen

from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.process_memory import tree_memories, tree_memories_apart, tree_memory, tree_shares

NO_PROCESS = 2**22 + 1
ROLLUP = """55d0a0000000-7ffd2a1fe000 ---p 00000000 00:00 0    [rollup]
Rss:                 100 kB
Pss:                  60 kB
Pss_Dirty:            10 kB
Shared_Clean:         40 kB
Shared_Dirty:         20 kB
Private_Clean:         8 kB
Private_Dirty:        32 kB
Private_Hugetlb:       0 kB
"""


class TreeMemoryTests(SynchronousTestCase):
    """The memory of a worker is that of its whole process tree."""

    def test_own_process(self) -> None:
        self.assertGreater(tree_memory(os.getpid()), 1 << 20)

    def test_descendants_count(self) -> None:
        child = Popen([sys.executable, "-c", "input()"], stdin=PIPE)
        self.addCleanup(child.communicate, b"\n", 60)
        memories = tree_memories([os.getpid(), child.pid])
        self.assertGreater(memories[child.pid], 0)
        self.assertGreater(memories[os.getpid()], memories[child.pid])

    def test_process_that_is_gone(self) -> None:
        self.assertEqual(tree_memory(NO_PROCESS), 0)

    def test_apart(self) -> None:
        found = tree_memories_apart([os.getpid(), NO_PROCESS])
        own, gone = found[os.getpid()], found[NO_PROCESS]
        self.assertEqual((gone.resident, gone.private, gone.shared), (0, None, None))
        self.assertGreater(own.resident, 1 << 20)
        if Path("/proc/self/smaps_rollup").exists():
            assert own.private is not None and own.shared is not None
            self.assertGreater(own.private, 1 << 20)
            self.assertLessEqual(abs(own.private + own.shared - own.resident), own.resident // 4)

    def test_shares_can_be_added(self) -> None:
        child = Popen([sys.executable, "-c", "input()"], stdin=PIPE)
        self.addCleanup(child.communicate, b"\n", 60)
        whole = tree_shares([os.getpid()])[os.getpid()]
        apart = tree_shares([os.getpid(), child.pid, NO_PROCESS])
        self.assertEqual(apart[NO_PROCESS], 0)
        self.assertGreater(apart[child.pid], 1 << 20)
        self.assertLess(apart[os.getpid()], whole)

    def test_shares_are_those_that_the_kernel_tells(self) -> None:
        root = Path(self.mktemp())
        folder = root / str(os.getpid())
        folder.mkdir(parents=True)
        (folder / "smaps_rollup").write_text(ROLLUP)
        self.assertEqual(tree_shares([os.getpid()], root)[os.getpid()], 60 << 10)

    def test_rollup_of_the_kernel(self) -> None:
        root = Path(self.mktemp())
        folder = root / str(os.getpid())
        folder.mkdir(parents=True)
        (folder / "smaps_rollup").write_text(ROLLUP)
        memory = tree_memories_apart([os.getpid()], root)[os.getpid()]
        self.assertEqual((memory.private, memory.shared), (40 << 10, 60 << 10))

    def test_kernel_that_does_not_tell(self) -> None:
        memory = tree_memories_apart([os.getpid()], Path(self.mktemp()))[os.getpid()]
        self.assertGreater(memory.resident, 0)
        self.assertEqual((memory.private, memory.shared), (None, None))
