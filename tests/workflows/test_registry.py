"""Which workflows are served, and which version is meant."""

from __future__ import annotations

from unittest import TestCase

from modelserver.workflows.errors import (
    DefaultWorkflowInUse,
    WorkflowBusy,
    WorkflowExists,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
from modelserver.workflows.graph import make_graph
from modelserver.workflows.registry import WorkflowRegistry
from modelserver.workflows.spec import DEFAULT_VERSION, Node, NodeModel, Workflow, WorkflowSpec


def workflow(name: str = "w", version: str | None = None, model: NodeModel | None = None) -> Workflow:
    """A workflow of one node."""
    node = Node("a", url="a.mar")
    spec = WorkflowSpec(make_graph({"a": []}), {"a": node}, version=version)
    return Workflow(name, f"{name}.war", spec, {"a": model or NodeModel(f"{name}__a", "1.0")})


class WorkflowRegistryTests(TestCase):
    """One registry."""

    def setUp(self) -> None:
        self.registry = WorkflowRegistry()

    def test_an_unknown_name_is_not_found(self) -> None:
        for ask in (self.registry.get, self.registry.versions, self.registry.remove):
            with self.assertRaises(WorkflowNotFound):
                ask("w")
        self.assertFalse(self.registry.has("w"))

    def test_a_workflow_without_a_version_takes_its_name(self) -> None:
        self.registry.add(workflow())
        self.assertEqual(DEFAULT_VERSION, self.registry.get("w").version)
        for version in (None, "2"):
            with self.assertRaises(WorkflowExists):
                self.registry.add(workflow(version=version))
        self.registry.add(workflow("v", "1"))
        with self.assertRaisesRegex(WorkflowExists, "Workflow v is already registered."):
            self.registry.add(workflow("v"))

    def test_the_first_version_is_the_default_until_another_is_set(self) -> None:
        one, two = workflow(version="1"), workflow(version="2")
        self.registry.add(one)
        self.registry.add(two)
        self.assertIs(one, self.registry.get("w"))
        self.assertIs(two, self.registry.get("w", "2"))
        self.registry.set_default("w", "2")
        self.assertIs(two, self.registry.get("w"))
        self.assertTrue(self.registry.is_default(two))
        self.assertFalse(self.registry.is_default(one))
        with self.assertRaises(DefaultWorkflowInUse):
            self.registry.remove("w")
        self.assertIs(one, self.registry.remove("w", "1"))
        self.assertIs(two, self.registry.remove("w"))
        self.assertEqual([], self.registry.all())

    def test_an_unknown_version_is_not_found(self) -> None:
        self.registry.add(workflow(version="1"))
        for ask in (self.registry.get, self.registry.remove, self.registry.set_default):
            with self.assertRaises(WorkflowVersionNotFound):
                ask("w", "2")

    def test_a_name_is_busy_until_the_last_of_its_versions_has_gone(self) -> None:
        one, two = workflow(version="1"), workflow(version="2")
        with self.registry.leaving(one):
            with self.registry.leaving(two):
                self.assertEqual(["w"], self.registry.calling("w__a", "1.0", is_default=True))
            with self.assertRaises(WorkflowBusy), self.registry.reserved("w", "3"):
                self.fail("it is busy")
        self.assertFalse(self.registry.is_reserved("w"))
        self.assertEqual([], self.registry.calling("w__a", "1.0", is_default=True))
        with self.registry.reserved("w", "3"):
            self.assertTrue(self.registry.is_reserved("w"))

    def test_names_are_in_order(self) -> None:
        for name in ("b", "a", "B"):
            self.registry.add(workflow(name))
        self.assertEqual(["B", "a", "b"], self.registry.names())

    def test_workflows_are_found_by_the_versions_that_they_call(self) -> None:
        self.registry.add(workflow("fixed", model=NodeModel("m", "2")))
        self.registry.add(workflow("open", model=NodeModel("m")))
        self.assertEqual(["fixed"], self.registry.calling("m", "2", is_default=False))
        self.assertEqual(["fixed", "open"], self.registry.calling("m", "2", is_default=True))
        self.assertEqual(["open"], self.registry.calling("m", "1", is_default=True))
        self.assertEqual([], self.registry.calling("n", "1", is_default=True))
