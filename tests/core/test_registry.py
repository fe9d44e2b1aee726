"""Which versions exist, and which one is meant."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.errors import (
    DefaultVersionInUse,
    ModelNotFound,
    NoSuchVersionToDefault,
    VersionExists,
    VersionNotFound,
)
from modelserver.testing.providers import Stage, make_spec


class RegistryTests(SynchronousTestCase):
    """The first version stays the default until another one is set."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.registry = Registry()

    def add(self, name: str, version: str) -> ModelVersion:
        added = self.stage.version(make_spec(name, version))
        self.registry.add(added)
        return added

    def test_default_is_the_first_until_set(self) -> None:
        first, second = self.add("m", "1.0"), self.add("m", "2.0")
        self.assertIs(self.registry.get("m"), first)
        self.registry.set_default("m", "2.0")
        self.assertIs(self.registry.get("m"), second)
        self.assertIs(self.registry.get("m", "1.0"), first)
        self.assertTrue(self.registry.is_default(second))

    def test_what_is_not_there(self) -> None:
        self.add("m", "1.0")
        with self.assertRaises(ModelNotFound):
            self.registry.get("n")
        with self.assertRaises(VersionNotFound):
            self.registry.get("m", "3")
        with self.assertRaises(NoSuchVersionToDefault):
            self.registry.set_default("m", "3")
        with self.assertRaises(ModelNotFound):
            self.registry.set_default("n", "3")
        with self.assertRaises(ModelNotFound):
            self.registry.versions("n")

    def test_a_version_is_added_once(self) -> None:
        self.add("m", "1.0")
        with self.assertRaises(VersionExists):
            self.add("m", "1.0")

    def test_the_default_goes_last(self) -> None:
        first = self.add("m", "1.0")
        self.add("m", "2.0")
        with self.assertRaises(DefaultVersionInUse):
            self.registry.remove("m")
        with self.assertRaises(DefaultVersionInUse):
            self.registry.remove("m", "1.0")
        self.registry.remove("m", "2.0")
        self.assertIs(self.registry.remove("m"), first)
        self.assertEqual(self.registry.names(), [])

    def test_names_are_sorted(self) -> None:
        for name in ("b", "a", "B"):
            self.add(name, "1")
        self.assertEqual(self.registry.names(), ["B", "a", "b"])
        self.assertEqual(len(self.registry.all()), 3)
        self.assertEqual([v.spec.version for v in self.registry.versions("a")], ["1"])

    def test_versions_are_in_order_and_the_first_one_added_stays_the_default(self) -> None:
        for version in ("1.10", "2.0", "1.9", "2.0rc1"):
            self.add("m", version)
        found = [version.spec.version for version in self.registry.versions("m")]
        self.assertEqual(found, ["1.9", "1.10", "2.0rc1", "2.0"])
        self.assertEqual(found, [version.spec.version for version in self.registry.all()])
        self.assertEqual(self.registry.get("m").spec.version, "1.10")

    def test_versions_are_in_order_again_when_the_one_that_is_none_has_gone(self) -> None:
        for version in ("1.10", "1.9", "latest"):
            self.add("m", version)
        self.assertEqual([v.spec.version for v in self.registry.versions("m")], ["1.10", "1.9", "latest"])
        self.registry.remove("m", "latest")
        self.assertEqual([v.spec.version for v in self.registry.versions("m")], ["1.9", "1.10"])
