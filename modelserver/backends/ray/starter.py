"""The seam between what a remote worker is and who starts its agent: Ray, or a program on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import field
from twisted.internet.defer import Deferred

from modelserver.language.attributes import frozen


@frozen
class ClusterUnusable(Exception):
    """Nothing can be started elsewhere, and this is why."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class NodeRequest:
    """
    An agent to be started.

    :param worker: the worker's id.
    :param version: name and version of its model: agents of one version know of each other.
    :param resources: what is held for it: ``CPU``, ``GPU``, and others by the cluster's names.
    :param strategy: ``spread`` or ``pack``: away from others of the version, or near them.
    :param line: what the agent reads.
    """

    worker: str
    version: str
    resources: Mapping[str, float]
    strategy: str
    line: bytes = field(repr=False)


class NodeNews(Protocol):
    """What is told of an agent that is being started."""

    def waits(self, reason: str) -> None:
        """There is no place for it now; what was asked, and what is free."""

    def placed(self, node: str, address: str, group: str, reason: str) -> None:
        """It has a place: the node's name and address, what holds its share, and why it is there."""

    def not_started(self, reason: str) -> None:
        """It could not be started, or is gone."""


class NodeHandle(Protocol):
    """An agent that was asked for."""

    def cancel(self, is_silent: bool = False) -> None:
        """
        End it, whatever it does, and give back what is held for it; may be called twice.

        :param is_silent: nothing is heard of its node, to which nothing should come for a while.
        """


class NodeStarter(Protocol):
    """Starts agents."""

    def join(self) -> Deferred[str]:
        """
        Fire with this machine's address as nodes see it, once agents can be started.

        Fails with ClusterUnusable.
        """

    def start(self, request: NodeRequest, news: NodeNews) -> NodeHandle:
        """Have an agent started; it dials the server."""
