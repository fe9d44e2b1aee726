"""The memory of control groups, as files of the test."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.group_memory import GroupMemory, group_memory


class GroupMemoryTests(SynchronousTestCase):
    """Both versions, nested groups, and no limit."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def test_version_2(self) -> None:
        self.write("proc/self/cgroup", "0::/pod/server\n")
        self.write("sys/fs/cgroup/pod/server/memory.max", "max\n")
        self.write("sys/fs/cgroup/pod/server/memory.current", "500\n")
        self.assertIsNone(group_memory(self.root))
        self.write("sys/fs/cgroup/pod/memory.max", "1000\n")
        self.write("sys/fs/cgroup/pod/memory.current", "700\n")
        self.assertEqual(group_memory(self.root), GroupMemory(1000, 700))

    def test_the_group_with_the_least_left_counts(self) -> None:
        self.write("proc/self/cgroup", "0::/pod/server\n")
        for path, limit, used in (("pod", 1000, 950), ("pod/server", 800, 100)):
            self.write(f"sys/fs/cgroup/{path}/memory.max", str(limit))
            self.write(f"sys/fs/cgroup/{path}/memory.current", str(used))
        self.assertEqual(group_memory(self.root), GroupMemory(1000, 950))

    def test_version_1(self) -> None:
        self.write("proc/self/cgroup", "4:memory:/a\n")
        self.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", str(0x7FFFFFFFFFFFF000))
        self.write("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "5\n")
        self.assertIsNone(group_memory(self.root))
        self.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "64\n")
        self.assertEqual(group_memory(self.root), GroupMemory(64, 5))

    def test_a_container_that_sees_its_group_at_the_top(self) -> None:
        self.write("proc/self/cgroup", "0::/somewhere/outside\n")
        self.write("sys/fs/cgroup/memory.max", "10\n")
        self.write("sys/fs/cgroup/memory.current", "4\n")
        self.assertEqual(group_memory(self.root), GroupMemory(10, 4))

    def test_what_cannot_be_read_is_no_limit(self) -> None:
        self.write("proc/self/cgroup", "0::/x\n")
        self.write("sys/fs/cgroup/x/memory.max", "a lot\n")
        self.write("sys/fs/cgroup/x/memory.current", "\n")
        self.assertIsNone(group_memory(self.root))
