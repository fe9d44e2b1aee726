"""The workflows in a snapshot, which TorchServe neither writes nor reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.management.snapshots.autoscaling import SECTION, parse_autoscaling, render_autoscaling
from modelserver.management.snapshots.values import archive_name, count_of, flag_of, object_of, text_of
from modelserver.management.workflows.requests import RegisteredWorkflow, WorkflowRequest
from modelserver.sources.urls import is_remote
from modelserver.version_settings.setting import SettingValues
from modelserver.workflows.spec import NodeModel

_TIMEOUTS = {"responseTimeout": "response_timeout", "startupTimeout": "startup_timeout"}


@frozen
class NodeWorkers:
    """
    How many workers a node's own model is to have.

    :param autoscaling: whether and how the server decides the number; None: it never did.
    """

    least: int
    most: int
    autoscaling: SettingValues | None = None


@frozen
class SnapshotWorkflow:
    """
    One version of a workflow in a snapshot. Durations are seconds.

    :param archive: the archive's file name in the workflow store.
    :param url: the URL that the archive was downloaded from; empty for one that the operator has put there.
    :param timeouts: those that the registration gave to all nodes, by the settings' names.
    :param workers: those of each node that has a model of its own.
    """

    archive: str
    is_default: bool = False
    url: str = ""
    timeouts: Mapping[str, float] = field(factory=dict)
    workers: Mapping[str, NodeWorkers] = field(factory=dict)

    def request(self, name: str) -> WorkflowRequest:
        """Return the registration that restores it."""
        return WorkflowRequest(
            url=self.url or self.archive,
            name=name,
            settings=dict(self.timeouts),
            synchronous=False,
            start_up=True,
            is_restored=True,
            workers={node: (workers.least, workers.most) for node, workers in self.workers.items()},
            scaling={node: workers.autoscaling or {} for node, workers in self.workers.items()},
        )


Versions = Mapping[str, Mapping[str, SnapshotWorkflow]]
"""For each workflow, for each version, its values."""


def take_workflows(
    workflows: Iterable[RegisteredWorkflow], workers: Mapping[NodeModel, NodeWorkers]
) -> Versions:
    """
    Describe registered workflows.

    :param workers: how many workers the models of nodes are to have now.
    """
    taken: dict[str, dict[str, SnapshotWorkflow]] = {}
    for each in workflows:
        workflow, url = each.workflow, each.workflow.url
        taken.setdefault(workflow.name, {})[workflow.version] = SnapshotWorkflow(
            archive=archive_name(url),
            is_default=each.is_default,
            url=url if is_remote(url) else "",
            timeouts={
                name: cast(float, each.request.settings[name])  # the table says that they are durations
                for name in _TIMEOUTS.values()
                if name in each.request.settings
            },
            workers={node: workers[model] for node, model in workflow.models.items() if model in workers},
        )
    return taken


def parse_workflows(document: Mapping[str, object]) -> Versions:
    """
    Read the key ``workflows`` of a snapshot.

    :raises SnapshotInvalid: a value has a wrong type.
    """
    return {
        name: {
            version: _parse(object_of(values, f"{name} {version}"), f"{name} {version}")
            for version, values in object_of(versions, name).items()
        }
        for name, versions in document.items()
    }


def _parse(values: Mapping[str, object], where: str) -> SnapshotWorkflow:
    nodes = object_of(values.get("nodes", {}), f"nodes of {where}")
    return SnapshotWorkflow(
        archive=archive_name(text_of(values, "warName", None, where)),
        is_default=flag_of(values, "defaultVersion", where),
        url=text_of(values, "workflowUrl", "", where),
        timeouts={
            name: float(count_of(values, key, 0, where)) for key, name in _TIMEOUTS.items() if values.get(key)
        },
        workers={
            node: _workers(object_of(workers, f"{node} of {where}"), f"{node} of {where}")
            for node, workers in nodes.items()
        },
    )


def _workers(values: Mapping[str, object], where: str) -> NodeWorkers:
    least = count_of(values, "minWorkers", 1, where)
    most = max(least, count_of(values, "maxWorkers", least, where))
    return NodeWorkers(least, most, parse_autoscaling(values, where))


def render_workflows(workflows: Versions) -> Mapping[str, object]:
    """Return the key ``workflows`` of a snapshot."""
    return {
        name: {version: _render(values) for version, values in versions.items()}
        for name, versions in workflows.items()
    }


def _render(values: SnapshotWorkflow) -> Mapping[str, object]:
    document: dict[str, object] = {"defaultVersion": values.is_default, "warName": values.archive}
    if values.url:
        document["workflowUrl"] = values.url
    for key, name in _TIMEOUTS.items():
        if name in values.timeouts:
            document[key] = round(values.timeouts[name])
    document["nodes"] = {node: _render_workers(workers) for node, workers in values.workers.items()}
    return document


def _render_workers(workers: NodeWorkers) -> Mapping[str, object]:
    document: dict[str, object] = {"minWorkers": workers.least, "maxWorkers": workers.most}
    if workers.autoscaling is not None:
        document[SECTION] = render_autoscaling(workers.autoscaling)
    return document
