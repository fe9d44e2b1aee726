"""What remote workers need of the process around them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.backends.output_limits import OutputLimits
from modelserver.backends.ray.node_accounts import NodeAccounts
from modelserver.interfaces import EventLoop
from modelserver.language.attributes import frozen


@frozen
class RemoteServices:
    """
    What remote workers need of the process around them.

    :param now: seconds since the epoch.
    :param slots: the memory in which large bodies lie, or None.
    :param silence: seconds without a byte after which a worker is suspect.
    :param lost: seconds after which it is given up.
    """

    loop: EventLoop
    clock: IReactorTime
    now: Callable[[], float]
    slots: memoryview | None
    silence: float
    lost: float
    output: OutputLimits = field(factory=OutputLimits)
    accounts: NodeAccounts = field(factory=NodeAccounts)
