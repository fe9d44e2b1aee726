"""``system_metrics_cmd`` in a real server: the operator's program samples the host."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import modelserver
from tests.harness.server_process import ServerTests, ask, eventually, is_alive

SAMPLER = """
import os, subprocess, sys

workers = sys.stdin.readline().strip()
told = "+".join(sys.argv[1:])
print(f"CPUUtilization.Percent:12.5|#Level:{told}|#hostname:{os.path.basename(os.getcwd())},1700000000")
print("MemoryUsed.Megabytes:%d|#Level:Host|#hostname:h,1700000000" % len(workers.split(",")))
print("", flush=True)
print("no GPU here", file=sys.stderr, flush=True)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(f"child {child.pid}", file=sys.stderr, flush=True)
child.wait()
"""


class SystemMetricsTests(ServerTests):
    """One server."""

    def test_a_program_of_the_operator(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        script = Path(folder.name) / "sampler.py"
        script.write_text(SAMPLER)
        server = self.start({"metrics_mode": "prometheus", "system_metrics_cmd": f"{script} --a  b"})

        def scraped() -> list[str]:
            text = ask(server.ports[2], "GET", "/metrics").text
            return [line for line in text.splitlines() if line.startswith(("CPU", "Memory", "Disk"))]

        eventually(scraped)
        home = Path(modelserver.__file__).parent.parent.name
        self.assertEqual(
            scraped(),
            [
                f'CPUUtilization{{Level="--a+b",Hostname="{home}",}} 12.5',
                'MemoryUsed{Level="Host",Hostname="h",} 1.0',
            ],
        )
        (told,) = eventually(lambda: [line for line in server.log.splitlines() if "child" in line])
        self.assertIn("system_metrics_cmd: no GPU here", server.log)
        child = int(told.split()[-1])
        self.assertTrue(is_alive(child))
        server.terminate()
        eventually(lambda: not is_alive(child))
