"""What ``etc`` ships is right: the sample has every key, and the constraints pin what is declared."""

from __future__ import annotations

import re
from configparser import ConfigParser
from pathlib import Path
from unittest import TestCase

import javaproperties
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.settings import Settings, read_value
from modelserver.config.table import KEY, KEYS
from modelserver.config.value_types import ConfigurationError

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "etc" / "config.properties"


def commented(text: str) -> dict[str, str]:
    """The properties of a sample, as if nothing in it were commented out."""
    lines = [line[1:] for line in text.splitlines() if re.match(r"#\w+=", line)]
    return javaproperties.loads("\n".join(lines))


class SampleTests(TestCase):
    """``etc/config.properties``."""

    def test_as_it_is_it_changes_nothing(self) -> None:
        settings, _ = load_settings(CommandLine(config_file=str(SAMPLE)), {}, Path("/nowhere"))
        plain, _ = load_settings(CommandLine(), {}, Path("/nowhere"))
        self.assertEqual(settings.properties, plain.properties)
        self.assertIsInstance(settings, Settings)

    def test_every_key_that_does_something_is_there_once(self) -> None:
        wanted = sorted(key.name for key in KEYS if key.status in ("implemented", "ours"))
        there = sorted(re.findall(r"^#(\w+)=", SAMPLE.read_text("utf-8"), re.MULTILINE))
        self.assertEqual(wanted, there)

    def test_values_are_the_defaults_or_allowed_examples(self) -> None:
        for name, text in commented(SAMPLE.read_text("utf-8")).items():
            with self.subTest(name):
                if KEY[name].default:
                    self.assertEqual(KEY[name].default, text)
                try:
                    read_value(name, text, Path("/nowhere"))
                except ConfigurationError as error:
                    self.fail(str(error))


class ConstraintsTests(TestCase):
    """``etc/constraints.txt``."""

    def test_every_declared_package_is_pinned(self) -> None:
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        extras = setup["options.extras_require"]
        declared = "\n".join(
            (
                setup["options"]["install_requires"],
                *(extras[name] for name in ("torch", "test", "dev", "uvloop")),
            )
        )
        names = {canonicalize_name(Requirement(line).name) for line in declared.splitlines() if line.strip()}
        lines = (ROOT / "etc" / "constraints.txt").read_text("utf-8").splitlines()
        pinned = {
            canonicalize_name(Requirement(line).name): str(Requirement(line).specifier)
            for line in lines
            if line.strip() and not line.startswith("#")
        }
        self.assertEqual(set(), names - set(pinned))
        self.assertTrue(all(specifier.startswith("==") for specifier in pinned.values()))


class LowestConstraintsTests(TestCase):
    """``etc/constraints-lowest.txt``."""

    def test_every_lower_bound_is_pinned(self) -> None:
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg")
        required = [Requirement(line) for line in setup["options"]["install_requires"].split("\n") if line]
        lines = (ROOT / "etc" / "constraints-lowest.txt").read_text("utf-8").splitlines()
        pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
        pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in pins}
        for each in required:
            if each.specifier:
                with self.subTest(each.name):
                    version = Version(str(each.specifier).removeprefix(">="))
                    pin = Version(pinned[canonicalize_name(each.name)])
                    self.assertEqual(version.release, pin.release[: len(version.release)])
