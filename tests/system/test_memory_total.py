"""How much memory there is to share out."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.value_types import MEMORY
from modelserver.system.memory_total import MemoryAmount, memory_total


class MemoryTotalTests(SynchronousTestCase):
    """The machine's memory, or less where a control group says so."""

    def test_a_control_group_that_allows_less_counts(self) -> None:
        root = Path(self.mktemp())
        group = root / "sys" / "fs" / "cgroup"
        group.mkdir(parents=True)
        machine = memory_total(root)
        self.assertGreater(machine, 1 << 20)
        (group / "memory.current").write_text("1\n")
        (group / "memory.max").write_text(f"{1 << 20}\n")
        self.assertEqual(memory_total(root), 1 << 20)
        (group / "memory.max").write_text(f"{machine * 2}\n")
        self.assertEqual(memory_total(root), machine)

    def test_amounts_as_they_are_written(self) -> None:
        for text, amount, shown in (
            ("80%", MemoryAmount(share=0.8), "80%"),
            ("12.5 %", MemoryAmount(share=0.125), "12.5%"),
            ("2G", MemoryAmount(size=2 << 30), str(2 << 30)),
            ("off", MemoryAmount(), "0"),
        ):
            self.assertEqual(MEMORY.read(text, Path()), amount)
            self.assertEqual(str(amount), shown)
        for text in ("0", "0%", "101%", "-5%", "much", "1T", "%", ""):
            self.assertRaises(ValueError, MEMORY.read, text, Path())
        self.assertFalse(MemoryAmount())
