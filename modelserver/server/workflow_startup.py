"""Loads the workflows of a server's start: those of a snapshot, or those that are configured."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from twisted.logger import Logger

from modelserver.config.settings import Settings
from modelserver.dialect_rules import DIALECTS
from modelserver.errors import ServingError
from modelserver.inference.load_status import LoadStatus
from modelserver.language.attributes import frozen
from modelserver.management.workflows.requests import WorkflowRequest
from modelserver.management.workflows.service import WorkflowManagement
from modelserver.workflows.errors import WorkflowInvalid

_ENDING = ".war"

_log = Logger()


@frozen
class StartupWorkflow:
    """
    One workflow to load at the start.

    :param version: what its archive must say, or None for any.
    :param is_default: it is the version that is meant when none is named.
    """

    request: WorkflowRequest
    version: str | None = None
    is_default: bool = False


def workflow_requests(settings: Settings) -> list[StartupWorkflow]:
    """Return the workflows to load: those of the snapshot, if it knows any. Blocks."""
    if not DIALECTS[settings.dialect].has_workflows:
        return []
    snapshot = settings.model_snapshot
    if snapshot is not None and snapshot.workflows is not None:
        return [
            StartupWorkflow(values.request(name), version, values.is_default)
            for name, versions in snapshot.workflows.items()
            for version, values in versions.items()
        ]
    wanted = settings.load_workflows
    named = [(each.url, each.name) for each in wanted.models]
    if wanted.everything:
        named = [(url, None) for url in workflow_archives_in(settings.workflow_folder)]
    return [
        StartupWorkflow(WorkflowRequest(url, name, synchronous=False, start_up=True)) for url, name in named
    ]


def workflow_archives_in(store: Path | None) -> list[str]:
    """Return the names of all workflow archives of a store, without hidden ones. Blocks."""
    if store is None or not store.is_dir():
        return []
    found = (entry.name for entry in store.iterdir() if entry.name.endswith(_ENDING))
    return sorted(name for name in found if not name.startswith("."))


def workflow_label(workflow: StartupWorkflow) -> str:
    """Return how a workflow is named that is not open yet."""
    request = workflow.request
    return label_of(request.name or request.url.rpartition("/")[2].removesuffix(_ENDING))


def label_of(name: str) -> str:
    """Return how readiness names a workflow, beside models."""
    return f"workflow {name}"


async def load_workflows(
    workflows: WorkflowManagement, wanted: Iterable[StartupWorkflow], start_up: LoadStatus
) -> bool:
    """
    Register workflows one after the other; one that fails is logged, named by readiness, and left out.

    It ends when all are registered; workers go on loading.

    :return: whether all are registered.
    """
    is_complete = True
    for each in wanted:
        label = workflow_label(each)
        _log.info("Loading initial {label}", label=label)
        try:
            await _load(workflows, each)
        except ServingError as error:
            is_complete = False
            start_up.failed(label, str(error))
            _log.error("Failed to load {label}: {error}", label=label, error=str(error))
        else:
            start_up.registered(label)
    return is_complete


async def _load(workflows: WorkflowManagement, wanted: StartupWorkflow) -> None:
    workflow = await workflows.register(wanted.request)
    if wanted.version not in (None, workflow.version):
        await workflows.unregister(workflow.name, workflow.spec.version)
        raise WorkflowInvalid(
            f"{wanted.request.url} holds version {workflow.version}, not {wanted.version}, "
            f"of workflow {workflow.name}"
        )
    if wanted.is_default and workflow.spec.version is not None:
        await workflows.set_default(workflow.name, workflow.spec.version)
