"""What a caller of the management of workflows asks for."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.sources.urls import is_remote
from modelserver.version_settings.setting import SettingValues
from modelserver.workflows.spec import Workflow


@frozen
class WorkflowRequest:
    """
    A registration of a workflow.

    :param name: to serve it by, or None for the archive's own.
    :param settings: of every node's model, by their names in the table of settings of versions.
    :param signed: the archive is fetched from S3 with a signature.
    :param sha256: the hexadecimal SHA-256 that the archive must have, or None.
    :param synchronous: whether the caller waits for the workers.
    :param start_up: it is a workflow of the server's start, not of the API: it may lie outside the store.
    :param is_restored: what it downloads was downloaded by a server before this one, and is in the store.
    :param workers: the least and the most workers of nodes that were scaled, by the nodes' names.
    :param scaling: how the server decides the number of their workers, where it does, likewise.
    """

    url: str
    name: str | None = None
    settings: SettingValues = field(factory=dict)
    signed: bool = False
    sha256: str | None = None
    synchronous: bool = True
    start_up: bool = False
    is_restored: bool = False
    workers: Mapping[str, tuple[int, int]] = field(factory=dict)
    scaling: Mapping[str, SettingValues] = field(factory=dict)

    def is_kept(self, url: str) -> bool:
        """Return whether an archive of the workflow is in the store already, as a download."""
        return self.is_restored and is_remote(url)


@frozen
class RegisteredWorkflow:
    """A workflow that is served, and the registration that it came from."""

    workflow: Workflow
    request: WorkflowRequest
    is_default: bool
