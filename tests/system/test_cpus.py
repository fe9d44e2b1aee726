"""How many processors there are for this process."""

from __future__ import annotations

import os
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.system.cpus import processor_share, usable_processors

V2 = {"proc/self/cgroup": "0::/a/b\n"}
V1 = {"proc/self/cgroup": "7:memory:/a\n4:cpu,cpuacct:/a/b\n"}
OWN = "sys/fs/cgroup/a/b/cpu.max"
QUOTA, PERIOD = (f"sys/fs/cgroup/cpu/a/b/cpu.cfs_{name}_us" for name in ("quota", "period"))

CASES: dict[str, tuple[dict[str, str], float]] = {
    "no control groups": ({}, inf),
    "a group without a limit": (V2 | {OWN: "max 100000\n"}, inf),
    "its own group": (V2 | {OWN: "150000 100000\n"}, 1.5),
    "a group around it": (V2 | {OWN: "800000 100000\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"}, 3),
    "a container's group at the top": (V2 | {"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
    "version 1": (V1 | {QUOTA: "500000\n", PERIOD: "100000\n"}, 5),
    "version 1 without a limit": (V1 | {QUOTA: "-1\n", PERIOD: "100000\n"}, inf),
    "nonsense": ({"proc/self/cgroup": "::\n\nx", "sys/fs/cgroup/cpu.max": "1 2 3"}, inf),
    "a period of nothing": (V2 | {OWN: "1 0\n"}, inf),
}


class ProcessorTests(TestCase):
    """What the kernel's files say."""

    def test_share_of_the_control_groups(self) -> None:
        for name, (files, share) in CASES.items():
            with self.subTest(name), TemporaryDirectory() as folder:
                for path, text in files.items():
                    file = Path(folder, path)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(text)
                self.assertEqual(share, processor_share(Path(folder)))

    def test_there_is_one_at_least_and_no_more_than_the_machine_has(self) -> None:
        self.assertIn(usable_processors(), range(1, (os.cpu_count() or 1) + 1))
