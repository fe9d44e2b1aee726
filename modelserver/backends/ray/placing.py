"""One agent's place on a Ray cluster, from the wish to the end. Only the driver imports this."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from modelserver.backends.ray.actor import NodeActor
from modelserver.backends.ray.driver_words import DriverKind
from modelserver.backends.ray.token_check import LOCAL, own_token
from modelserver.protocol.documents import mapping, text

NAMESPACE = "modelserver"
PATIENCE = 1.0
"""Seconds without a place after which the server is told what is asked and what is free."""
ANEW = 3.0
"""Seconds that a node has to take a group for which it has room; then the group is asked for elsewhere."""
AVOIDED = 60.0
"""Seconds for which nothing is wished to a node that was silent: so long takes Ray to see that it is gone."""
_STATISTICS = "RAY_USAGE_STATS_ENABLED"
"""The variable that has a cluster send statistics to Ray's makers, or not."""
_TELLS = 5.0
"""Seconds between two such tales."""

News = list[tuple[DriverKind, dict[str, object]]]


class ClusterView:
    """
    A cluster that this process has joined.

    :param host: this machine's address, as the cluster's nodes see it.
    """

    def __init__(self, ray: Any, host: str) -> None:  # Ray has no types that would help
        self.ray, self.host = ray, host
        self.of_version: dict[str, Counter[str]] = {}
        self._avoided: dict[str, float] = {}

    @classmethod
    def join(cls, address: str) -> ClusterView:
        """Join the cluster; whatever Ray raises, it raises."""
        if address == LOCAL:
            os.environ.update(own_token(secrets.token_hex(32)))
            # What we start tells nobody of it, unless that is wanted.
            os.environ.setdefault(_STATISTICS, "0")
        import ray

        options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **options,
        )
        host = "127.0.0.1" if address == LOCAL else str(ray.util.get_node_ip_address())
        return cls(ray, host)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return what Ray tells of the nodes that live, by their ids."""
        return {node["NodeID"]: node for node in self.ray.nodes() if node.get("Alive")}

    def free(self) -> dict[str, dict[str, float]]:
        """Return what is free on each node, by its id; what it has where Ray does not tell."""
        known: dict[str, dict[str, float]] = {}
        try:
            known = self.ray._private.state.available_resources_per_node()
        except Exception:  # it is no public function: another Ray may not have it
            pass
        return {name: known.get(name, node.get("Resources", {})) for name, node in self.nodes().items()}

    def fitting(self, wanted: Mapping[str, float]) -> list[str]:
        """Return the nodes that have room, without those to be avoided."""
        now = time.monotonic()
        free = self.free().items()
        return [
            name for name, amounts in free if _fits(wanted, amounts) and self._avoided.get(name, 0) <= now
        ]

    def avoid(self, node: str) -> None:
        """Wish nothing to a node for a while: it is silent, and Ray may not know yet."""
        now = time.monotonic()
        self._avoided = {name: until for name, until in self._avoided.items() if until > now}
        self._avoided[node] = now + AVOIDED

    def choose(self, version: str, wanted: Mapping[str, float], strategy: str) -> str | None:
        """
        Return the node with the fewest of a version's workers (``pack``: the most) that has room, or None.

        The worker is counted there from now on: others of the version may be looking for a place, too.
        """
        counts = self.of_version.setdefault(version, Counter())
        fitting = self.fitting(wanted)
        sign = -1 if strategy == "pack" else 1
        chosen = min(fitting, key=lambda name: (sign * counts[name], name), default=None)
        self.move(version, None, chosen)
        return chosen

    def move(self, version: str, before: str | None, after: str | None) -> int:
        """Count a worker on another node, or (None) on none; return how many of its version are there."""
        counts = self.of_version.setdefault(version, Counter())
        if before is not None:
            counts[before] -= 1
        if after is None:
            return 0
        counts[after] += 1
        return counts[after]


def _fits(wanted: Mapping[str, float], free: Mapping[str, float]) -> bool:
    return all(free.get(name, 0.0) + 1e-9 >= amount for name, amount in wanted.items())


def _amounts(of: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {amount:g}" for name, amount in sorted(of.items())) or "nothing"


class Placing:
    """
    A placement group of one bundle, then the actor in it, then its agent.

    :ivar is_over: nobody needs to look at it any more; its share is held until ``cancel``.
    """

    def __init__(self, view: ClusterView, document: Mapping[str, object]) -> None:
        self.is_over = False
        self._view = view
        self._version = text(document, "version")
        self._strategy = text(document, "strategy")
        wanted = {name: float(str(amount)) for name, amount in mapping(document, "resources").items()}
        self._wanted = {name: amount for name, amount in wanted.items() if amount > 0}
        self._line = text(document, "line").encode()
        self._group: Any = None
        self._actor: Any = None
        self._where: Any = None
        self._run: Any = None
        self._counted: str | None = None
        self._tell_at = time.monotonic() + PATIENCE
        self._anew_at = 0.0

    @classmethod
    def of(cls, view: ClusterView, document: Mapping[str, object]) -> Placing:
        """Return the place of a new agent, which is looked for from the first ``look`` on."""
        return cls(view, document)

    @property
    def is_pending(self) -> bool:
        """Whether the agent is not started yet."""
        return self._where is not None or self._run is None

    def look(self) -> News:
        """Go on; return what has happened. Whatever Ray raises, it raises."""
        ray = self._view.ray
        if self._group is None:
            self._ask()
            return []
        if self._actor is None:
            if not self._group.wait(0):
                self._ask_anew()
                return self._waiting()
            self._create()
            return []
        news: News = []
        if self._where is not None and _is_done(ray, self._where):
            news.append(self._placed(*ray.get(self._where, timeout=5)))
            self._where = None
        if _is_done(ray, self._run):
            code, last = ray.get(self._run, timeout=5)
            reason = f"its agent ended with code {code}" + (f": {last}" if last else "")
            news.append((DriverKind.NOT_STARTED, {"reason": reason}))
        return news

    def _ask(self) -> None:
        placement_group = self._view.ray.util.placement_group
        self._anew_at = time.monotonic() + ANEW
        target = self._counted = self._view.choose(self._version, self._wanted, self._strategy)
        bundle = self._wanted or {"CPU": 0.001}
        try:
            # With one bundle this means: there, if it can be.
            self._group = placement_group([bundle], strategy="STRICT_PACK", _soft_target_node_id=target)
        except TypeError:  # not every Ray takes the wish for a node
            self._group = placement_group([bundle], strategy="STRICT_PACK")

    def _ask_anew(self) -> None:
        """
        Ask for another group, if the present one had its time and there is room on another node.

        Ray leaves a group with a node that does not answer, even when it has seen that this one is dead.
        """
        now = time.monotonic()
        if now < self._anew_at:
            return
        self._anew_at = now + ANEW
        if self._counted is not None:
            self._view.avoid(self._counted)
        if self._view.fitting(self._wanted):
            self._view.ray.util.remove_placement_group(self._group)
            self._view.move(self._version, self._counted, None)
            self._ask()

    def _create(self) -> None:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        wanted = dict(self._wanted)
        actor = self._view.ray.remote(NodeActor).options(
            num_cpus=wanted.pop("CPU", 0.0),
            num_gpus=wanted.pop("GPU", 0.0),
            memory=int(wanted.pop("memory", 0.0)) or None,
            resources=wanted or None,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=3,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, 0),
        )
        self._actor = actor.remote()
        self._where = self._actor.where.remote()
        self._run = self._actor.run.remote(self._line)

    def _placed(self, host: str, node: str) -> tuple[DriverKind, dict[str, object]]:
        count, self._counted = self._view.move(self._version, self._counted, node), node
        address = self._view.nodes().get(node, {}).get("NodeManagerAddress", "")
        why = f"it has {_amounts(self._wanted)}; {self._strategy}: worker {count} of the version there"
        return DriverKind.PLACED, {
            "node": f"{host}/{node[:8]}",
            "address": address,
            "group": self._group.id.hex(),
            "reason": why,
        }

    def _waiting(self) -> News:
        now = time.monotonic()
        if now < self._tell_at:
            return []
        self._tell_at = now + _TELLS
        free = self._view.free()
        told = "; ".join(
            f"{name[:8]}: {_amounts({key: of.get(key, 0.0) for key in self._wanted})}"
            for name, of in sorted(free.items())
        )
        reason = f"asked for {_amounts(self._wanted)}; free: {told or 'there are no nodes'}"
        return [(DriverKind.WAITS, {"reason": reason})]

    def cancel(self, is_silent: bool = False) -> None:
        """
        End the actor, and give its share back.

        :param is_silent: nothing is heard of its node.
        """
        ray = self._view.ray
        if is_silent and self._counted is not None:
            self._view.avoid(self._counted)
        self._view.move(self._version, self._counted, None)
        self._counted = None
        try:
            if self._actor is not None:
                ray.kill(self._actor, no_restart=True)
            if self._group is not None:
                ray.util.remove_placement_group(self._group)
        except Exception as error:  # the cluster may be gone
            logging.getLogger(__name__).warning("A place could not be given back: %s", error)


def _is_done(ray: Any, reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])


def leave() -> None:
    """Leave the cluster, or end that of one's own."""
    try:
        import ray

        ray.shutdown()
    except Exception as error:  # it is over either way
        logging.getLogger(__name__).warning("The cluster could not be left: %s", error)
