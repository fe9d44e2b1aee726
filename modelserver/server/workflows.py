"""Builds what registers workflows."""

from __future__ import annotations

from uuid import uuid4

from modelserver.config.settings import Settings
from modelserver.inference.workflows import WorkflowInference
from modelserver.management.service import Management
from modelserver.management.workflows.preparation import WorkflowPreparer
from modelserver.management.workflows.service import WorkflowManagement
from modelserver.server.resources import Resources, Runtime
from modelserver.server.sources import make_sources
from modelserver.server.workflow_startup import label_of
from modelserver.sources.router import Sources


def make_workflow_management(
    settings: Settings,
    runtime: Runtime,
    resources: Resources,
    runs: WorkflowInference,
    management: Management,
) -> WorkflowManagement:
    """
    Make what registers workflows.

    :param management: registers the models of nodes.
    """
    folders, start_up = resources.folders, runs.inference.start_up
    preparer = WorkflowPreparer(
        sources=_sources(settings, runtime, management),
        in_thread=runtime.threads.archives,
        folder=folders.models,
        new_name=lambda: folders.token + uuid4().hex[:16],
        limits=settings.archive_limits(),
        awaited=management.preparer.awaited,
    )
    return WorkflowManagement(
        registry=runs.registry,
        models=management,
        preparer=preparer,
        runs=runs,
        changed=management.changed,
        parallelism=settings.startup_parallelism,
        on_registered=lambda name: start_up.registered(label_of(name)),
    )


def _sources(settings: Settings, runtime: Runtime, management: Management) -> Sources:
    """Return the sources of archives: those of models where there is one store for both."""
    if settings.workflow_folder == settings.model_store:
        return management.preparer.sources
    return make_sources(settings, runtime, settings.workflow_folder)
