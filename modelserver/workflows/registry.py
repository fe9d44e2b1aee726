"""The workflows that are served: versions by name, and which one is the default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import field

from modelserver.language.attributes import define
from modelserver.workflows.errors import (
    DefaultWorkflowInUse,
    WorkflowBusy,
    WorkflowExists,
    WorkflowNotFound,
    WorkflowVersionNotFound,
)
from modelserver.workflows.spec import Workflow


@define(eq=False)
class WorkflowRegistry:
    """
    Owns the map of workflows. The first version of one is its default until another is set.

    A name is busy while a workflow is being registered by it, or is on its way out.
    """

    _workflows: dict[str, dict[str, Workflow]] = field(factory=dict, init=False)
    _defaults: dict[str, Workflow] = field(factory=dict, init=False)
    _busy: Counter[str] = field(factory=Counter, init=False)
    _leaving: list[Workflow] = field(factory=list, init=False)

    def get(self, name: str, version: str | None = None) -> Workflow:
        """
        A version of a workflow, the default one unless it is named.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        """
        if name not in self._defaults:
            raise WorkflowNotFound(name)
        if version is None:
            return self._defaults[name]
        found = self._workflows[name].get(version)
        if found is None:
            raise WorkflowVersionNotFound(name, version)
        return found

    @contextmanager
    def reserved(self, name: str, version: str | None) -> Iterator[None]:
        """
        Hold a name while a workflow is registered by it; one that says no version takes the whole name.

        :param version: what its specification says, or None.
        :raises WorkflowExists: it, or this version of it, is taken.
        :raises WorkflowBusy: the name is.
        """
        self._check_free(name, version)
        if name in self._busy:
            raise WorkflowBusy(name, version)
        with self._kept_busy(name):
            yield

    @contextmanager
    def leaving(self, workflow: Workflow) -> Iterator[None]:
        """Hold the name, and the models, of a workflow that is not served any more while its runs end."""
        self._leaving.append(workflow)
        try:
            with self._kept_busy(workflow.name):
                yield
        finally:
            self._leaving.remove(workflow)

    @contextmanager
    def _kept_busy(self, name: str) -> Iterator[None]:
        self._busy[name] += 1  # two of its versions may go at once
        try:
            yield
        finally:
            self._busy -= Counter((name,))  # drops what is 0

    def is_reserved(self, name: str) -> bool:
        """Whether a name is busy."""
        return name in self._busy

    def _check_free(self, name: str, version: str | None) -> None:
        others = self._workflows.get(name, {})
        if version is None and others:
            raise WorkflowExists(name)
        if version in others or any(other.spec.version is None for other in others.values()):
            raise WorkflowExists(name, version)

    def add(self, workflow: Workflow) -> None:
        """
        Serve a workflow from now on.

        :raises WorkflowExists: the name, or this version of it, is taken.
        """
        self._check_free(workflow.name, workflow.spec.version)
        self._workflows.setdefault(workflow.name, {})[workflow.version] = workflow
        self._defaults.setdefault(workflow.name, workflow)

    def remove(self, name: str, version: str | None = None) -> Workflow:
        """
        Serve a workflow no more.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        :raises DefaultWorkflowInUse: it is the default while others exist.
        """
        found = self.get(name, version)
        versions = self._workflows[name]
        if len(versions) == 1:
            del self._workflows[name], self._defaults[name]
        elif found is self._defaults[name]:
            raise DefaultWorkflowInUse(name)
        else:
            del versions[found.version]
        return found

    def set_default(self, name: str, version: str) -> None:
        """
        Make a version the one that is meant when none is named.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        """
        self._defaults[name] = self.get(name, version)

    def is_default(self, workflow: Workflow) -> bool:
        """Whether this version is the one that is meant when none is named."""
        return self._defaults.get(workflow.name) is workflow

    def names(self) -> list[str]:
        """All workflows, in the order of their names' bytes."""
        return sorted(self._workflows)

    def has(self, name: str) -> bool:
        """Whether a workflow has this name."""
        return name in self._workflows

    def versions(self, name: str) -> Sequence[Workflow]:
        """
        All versions of a workflow, in the order of their registration.

        :raises WorkflowNotFound: no workflow has this name.
        """
        if name not in self._workflows:
            raise WorkflowNotFound(name)
        return list(self._workflows[name].values())

    def all(self) -> list[Workflow]:
        """Return every version of every workflow."""
        return [workflow for versions in self._workflows.values() for workflow in versions.values()]

    def calling(self, model: str, version: str, is_default: bool) -> list[str]:
        """
        Return the names of the workflows with a node that calls this version of a model.

        :param is_default: it is the one that is called where a node names none.
        """
        callers = (each for each in (*self.all(), *self._leaving) if each.calls(model, version, is_default))
        return sorted({each.name for each in callers})
