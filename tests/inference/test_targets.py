"""Which model an invocation means."""

from __future__ import annotations

from unittest import TestCase

from modelserver.core.registry import Registry
from modelserver.errors import BadRequest, ModelNotFound, ParameterMissing, VersionNotFound
from modelserver.inference.targets import model_of_invocation, require_served
from modelserver.testing.providers import Stage, make_spec


def unread() -> str:
    raise BadRequest("The body was read.")


class InvocationTests(TestCase):
    """``model_of_invocation`` and ``require_served``."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.registry = Registry()

    def add(self, name: str, at_start: bool) -> None:
        self.registry.add(self.stage.version(make_spec(name, version="1.0", loaded_at_startup=at_start)))

    def test_the_only_model_of_the_start(self) -> None:
        self.add("a", at_start=True)
        self.add("b", at_start=False)
        self.assertEqual(model_of_invocation(self.registry, unread), "a")

    def test_of_several_the_request_names_one(self) -> None:
        self.add("a", at_start=True)
        self.add("b", at_start=True)
        self.assertEqual(model_of_invocation(self.registry, lambda: "b"), "b")
        self.assertRaises(ParameterMissing, model_of_invocation, self.registry, lambda: None)

    def test_empty_name_is_a_name(self) -> None:
        self.assertEqual(model_of_invocation(self.registry, lambda: ""), "")
        self.add("a", at_start=True)
        self.assertEqual(model_of_invocation(self.registry, lambda: ""), "a")

    def test_what_is_served(self) -> None:
        self.add("a", at_start=False)
        require_served(self.registry, "a")
        require_served(self.registry, "a", "1.0")
        self.assertRaises(ModelNotFound, require_served, self.registry, "b")
        self.assertRaises(VersionNotFound, require_served, self.registry, "a", "2.0")
