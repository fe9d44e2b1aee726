"""What this package depends on: no version that it is tested with, or allows, has an advisory; licences."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from unittest import TestCase

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools.release.advisories import advisories, affected
from tools.release.licences import dependencies, licences

ROOT = Path(__file__).parents[1]
ETC = ROOT / "etc"
DECLARED = ROOT / "setup.cfg"
OPTIONAL = ("torch", "safetensors", "uvloop", "grpc", "grpc-pure", "tracing", "jks")
"""The extras whose licences are listed: those of what a server may run with."""
OF_GPUS = re.compile(r"(cuda-|nvidia-(?!ml-py$)|triton$)")
"""What PyTorch brings along where it is built for GPUs; which, its builds say, not this package."""
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|BSL|CMU|PSF|ZPL|MPL|LLVM)\b|Mozilla Public License")


def pins(name: str) -> Iterator[tuple[str, str]]:
    """Packages and versions of a file of constraints, for whichever Python."""
    for line in (ETC / name).read_text("utf-8").splitlines():
        text = line.partition("#")[0].partition(";")[0].strip()
        if text:
            package, _, number = text.partition("==")
            yield canonicalize_name(package), number


def declared(extras: Sequence[str] | None = None) -> list[Requirement]:
    """What setup.cfg asks for, with some extras; None: with all."""
    read = configparser.ConfigParser()
    read.read(DECLARED)
    optional = read["options.extras_require"]
    texts = [read["options"]["install_requires"]]
    texts += [optional[name] for name in (optional if extras is None else extras)]
    return [Requirement(line) for text in texts for line in text.strip().splitlines()]


def lowest() -> Iterator[tuple[str, str]]:
    """The lower bounds of setup.cfg, and the versions that the tests with the lowest ones use."""
    for requirement in declared():
        for bound in requirement.specifier:
            if bound.operator == ">=":
                yield canonicalize_name(requirement.name), bound.version
    yield from pins("constraints-lowest.txt")


class AdvisoryTests(TestCase):
    """``etc/advisories.json``, until there is a tool that may ask an index for them."""

    def test_a_range_is_read_as_it_is_meant(self) -> None:
        row = {"package": "h2", "id": "X-1", "affected": ">=4.0,<4.4.1", "what": "is wrong"}
        found = affected(row, [("H2", "4.3.0"), ("h2", "4.4.1"), ("h3", "4.3.0")])
        self.assertEqual(found, ["H2 4.3.0: X-1, is wrong"])

    def test_no_version_that_is_tested_is_affected(self) -> None:
        found = [each for row in advisories() for each in affected(row, pins("constraints.txt"))]
        self.assertEqual(found, [])

    def test_no_lower_bound_is_affected_without_a_reason(self) -> None:
        found = [each for row in advisories() if "kept" not in row for each in affected(row, lowest())]
        self.assertEqual(found, [])

    def test_no_reason_is_left_over(self) -> None:
        for row in advisories():
            if "kept" in row:
                self.assertTrue(affected(row, lowest()), f"{row['id']} is about no lower bound any more")

    def test_rows_say_what_where_and_by_whom(self) -> None:
        known = {package for package, _ in pins("constraints.txt")}
        for row in advisories():
            with self.subTest(row["id"]):
                self.assertRegex(row["id"], r"^(CVE|GHSA|PYSEC)-\S+$")
                self.assertRegex(row["source"], r"^https://\S+$")
                self.assertIn(row["package"], known)
                self.assertTrue(row["what"] and SpecifierSet(row["affected"]))
                self.assertRegex(row.get("checked", "2026-01-01"), r"^20\d\d-\d\d-\d\d$")

    def test_rows_are_in_order_and_told_once(self) -> None:
        keys = [(row["package"], row["id"], row["affected"]) for row in advisories()]
        self.assertEqual(keys, sorted(set(keys)))


class LicenceTests(TestCase):
    """``etc/licences.txt``: everything that a server may run with, Ray and NVIDIA's libraries aside."""

    def listed(self) -> dict[str, str]:
        """Licence by package."""
        lines = (ETC / "licences.txt").read_text("utf-8").splitlines()
        rows = (line.partition(": ") for line in lines if not line.startswith("#"))
        return {name: licence for name, _, licence in rows}

    def test_the_list_has_what_is_installed(self) -> None:
        pinned = set(pins("constraints.txt"))
        listed = self.listed()
        names = [each for each in dependencies(declared(OPTIONAL)) if not OF_GPUS.match(each)]
        for name, licence in licences(names).items():
            with self.subTest(name):
                self.assertIn(name, listed)
                # Other versions say it in other words.
                if (name, version(name).partition("+")[0]) in pinned:
                    self.assertEqual(licence, listed[name])

    def test_every_one_of_them_lets_itself_be_passed_on(self) -> None:
        for name, licence in self.listed().items():
            self.assertRegex(licence, PERMISSIVE, name)
