"""The units of ``etc/systemd``, as systemd itself reads them."""

from __future__ import annotations

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase, skipUnless

from modelserver.config.loading import CommandLine, load_settings
from tests.harness.server_process import LONGEST, ROOT

UNITS = Path(ROOT, "etc", "systemd")
ANALYZE = shutil.which("systemd-analyze")


def read(name: str) -> RawConfigParser:
    """Read a unit that repeats no key."""
    unit = RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # configparser's documented way
    unit.read_string((UNITS / name).read_text("utf-8"))
    return unit


class UnitTests(TestCase):
    """``modelserver.service`` and ``modelserver.socket``."""

    @skipUnless(ANALYZE, "systemd-analyze is not installed")
    def test_systemd_has_nothing_to_say_about_them(self) -> None:
        with TemporaryDirectory() as folder:
            for unit in UNITS.iterdir():
                text = unit.read_text("utf-8").replace("/opt/modelserver/bin/modelserver", "/bin/true")
                Path(folder, unit.name).write_text(text, "utf-8")
            done = self.verify(folder, "modelserver.service", "modelserver.socket")
            self.assertEqual((0, ""), (done.returncode, done.stderr))
            Path(folder, "modelserver.service").write_text("[Service]\nType=notfy\nExecStart=/bin/true\n")
            self.assertIn("notfy", self.verify(folder, "modelserver.service").stderr)

    def verify(self, folder: str, *names: str) -> subprocess.CompletedProcess[str]:
        words = [ANALYZE or "", "verify", "--man=no", *(str(Path(folder, name)) for name in names)]
        return subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=False)

    def test_the_socket_is_an_address_of_the_configuration(self) -> None:
        settings, _ = load_settings(CommandLine(), {}, Path("/nowhere"))
        stream = read("modelserver.socket")["Socket"]["ListenStream"]
        self.assertEqual(f"http://{stream}", str(settings.inference_address))

    def test_the_server_may_finish_before_it_is_killed(self) -> None:
        settings, _ = load_settings(CommandLine(), {}, Path("/nowhere"))
        service = read("modelserver.service")["Service"]
        self.assertGreater(int(service["TimeoutStopSec"]), settings.drain_timeout)
        self.assertEqual("notify", service["Type"])
