"""The doctor looks at the pip that installs requirements of archives."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.cli.doctor.configuration import about_pip
from modelserver.config.settings import Settings


def absent(name: str) -> str:
    """Stand in for an interpreter without the package."""
    raise PackageNotFoundError(name)


class PipTests(SynchronousTestCase):
    """Of any age, or none at all."""

    def verdicts(self, version: str, settings: Settings) -> list[str]:
        """What is found where pip has this version."""
        return [finding.verdict for finding in about_pip(settings, lambda name: version)]

    def test_an_old_one_is_told_of(self) -> None:
        on = Settings(install_py_dep_per_model=True)
        self.assertEqual(self.verdicts("23.0.1", on), ["differs"])
        self.assertEqual(self.verdicts("25.3", on), [])
        self.assertEqual(self.verdicts("26.1", on), [])

    def test_none_fails(self) -> None:
        on = Settings(install_py_dep_per_model=True)
        self.assertEqual([finding.verdict for finding in about_pip(on, absent)], ["fails"])

    def test_it_counts_only_where_it_is_used(self) -> None:
        self.assertEqual(self.verdicts("9.0", Settings()), [])
        other = Settings(install_py_dep_per_model=True, worker_python=Path("/usr/bin/python3"))
        self.assertEqual(self.verdicts("9.0", other), [])
