"""Out of memory or not: the kernel's counters, as files of the test."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.oom_kills import OomDetector, find_counter


class VerdictTests(SynchronousTestCase):
    """Each kind of counter that kernels have."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir(parents=True)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def check(self, path: str, before: str, after: str) -> None:
        self.write(path, before)
        counter = find_counter(self.root)
        assert counter is not None
        self.assertEqual(counter.path, self.root / path)
        verdict = OomDetector(counter)
        self.assertFalse(verdict.take_new_kills())
        self.write(path, after)
        self.assertTrue(verdict.take_new_kills())
        self.assertFalse(verdict.take_new_kills())

    def test_cgroup_v2(self) -> None:
        self.write("proc/self/cgroup", "0::/serving/pod\n")
        self.check(
            "sys/fs/cgroup/serving/pod/memory.events", "low 0\noom 1\noom_kill 3\n", "oom 2\noom_kill 4\n"
        )

    def test_cgroup_v1(self) -> None:
        self.write("proc/self/cgroup", "5:cpu:/\n4:memory:/a/b\n0::/\n")
        self.check("sys/fs/cgroup/memory/a/b/memory.oom_control", "under_oom 0\noom_kill 0\n", "oom_kill 1\n")

    def test_a_container_that_sees_its_group_at_the_top(self) -> None:
        self.write("proc/self/cgroup", "0::/somewhere/outside\n")
        self.check("sys/fs/cgroup/memory.events", "oom_kill 0\n", "oom_kill 2\n")

    def test_the_machine_when_there_is_no_group(self) -> None:
        self.check("proc/vmstat", "nr_free_pages 12\noom_kill 7\n", "oom_kill 8\n")

    def test_without_a_counter_nothing_is_claimed(self) -> None:
        self.write("proc/vmstat", "nr_free_pages 12\noom_kill many\n")
        self.assertIsNone(find_counter(self.root))
        self.assertFalse(OomDetector(None).take_new_kills())

    def test_a_counter_that_goes_away_claims_nothing(self) -> None:
        self.write("proc/vmstat", "oom_kill 7\n")
        verdict = OomDetector(find_counter(self.root))
        (self.root / "proc/vmstat").unlink()
        self.assertFalse(verdict.take_new_kills())
