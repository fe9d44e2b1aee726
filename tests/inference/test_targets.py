"""Which model an invocation means."""

from __future__ import annotations

from collections.abc import Callable
from unittest import TestCase

from modelserver.core.registry import Registry
from modelserver.errors import BadRequest, ModelNotFound, ParameterMissing, VersionNotFound
from modelserver.inference.load_status import LoadStatus
from modelserver.inference.targets import model_of_invocation, require_served
from modelserver.testing.providers import Stage, make_spec


def unread() -> str:
    raise BadRequest("The body was read.")


class InvocationTests(TestCase):
    """``model_of_invocation`` and ``require_served``."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.registry = Registry()
        self.start_up = LoadStatus()

    def add(self, name: str, at_start: bool) -> None:
        self.registry.add(self.stage.version(make_spec(name, version="1.0", loaded_at_startup=at_start)))

    def named(self, read_name: Callable[[], str | None]) -> str:
        return model_of_invocation(self.registry, self.start_up, read_name)

    def test_the_only_model_of_the_start(self) -> None:
        self.add("a", at_start=True)
        self.add("b", at_start=False)
        self.assertEqual(self.named(unread), "a")

    def test_of_several_the_request_names_one(self) -> None:
        self.add("a", at_start=True)
        self.add("b", at_start=True)
        self.assertEqual(self.named(lambda: "b"), "b")
        self.assertRaises(ParameterMissing, self.named, lambda: None)

    def test_two_versions_are_one_model(self) -> None:
        for version in ("1.0", "2.0"):
            spec = make_spec("a", version=version, loaded_at_startup=True)
            self.registry.add(self.stage.version(spec))
        self.assertEqual(self.named(unread), "a")

    def test_the_only_model_of_the_start_is_on_its_way(self) -> None:
        self.start_up.expect(["a"])
        self.assertEqual(self.named(unread), "a")
        self.add("a", at_start=True)
        self.start_up.registered("a")
        self.assertEqual(self.named(unread), "a")

    def test_the_second_model_of_the_start_is_on_its_way(self) -> None:
        self.start_up.expect(["b"])
        self.add("a", at_start=True)
        self.assertRaises(ParameterMissing, self.named, lambda: None)
        self.start_up.failed("b", "no such archive")
        self.assertEqual(self.named(unread), "a")

    def test_empty_name_is_a_name(self) -> None:
        self.assertEqual(self.named(lambda: ""), "")
        self.add("a", at_start=True)
        self.assertEqual(self.named(lambda: ""), "a")

    def test_what_is_served(self) -> None:
        self.add("a", at_start=False)
        require_served(self.registry, "a")
        require_served(self.registry, "a", "1.0")
        self.assertRaises(ModelNotFound, require_served, self.registry, "b")
        self.assertRaises(VersionNotFound, require_served, self.registry, "a", "2.0")
