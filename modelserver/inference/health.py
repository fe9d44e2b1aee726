"""Whether the server does what it is meant to do: the peers' rule for a ping."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed

from modelserver.core.registry import Registry


@frozen
class Health:
    """
    The workers of all models together.

    :param wanted: how many there are meant to be.
    :param running: how many have loaded their model.
    :param is_healthy: every default version has as many workers as it is meant to, or they may still come.
    """

    wanted: int
    running: int
    is_healthy: bool


def health_of(registry: Registry) -> Health:
    """Look at every version; only default versions decide whether the server is healthy."""
    wanted = running = 0
    is_healthy = True
    for version in registry.all():
        pool = version.pool
        wanted += pool.minimum
        running += pool.ready
        if pool.healthy < pool.minimum and registry.is_default(version):
            is_healthy = False
    return Health(wanted, running, is_healthy)


@define(eq=False)
class LoadStatus:
    """The models of the start that are not registered: those on their way, and those that failed."""

    _missing: dict[str, str | None] = field(factory=dict, init=False)
    _waiting: list[Deferred[None]] = field(factory=list, init=False)

    def expect(self, names: Iterable[str]) -> None:
        """These are to come."""
        self._missing.update(dict.fromkeys(names))

    def registered(self, name: str) -> None:
        """This one is in the registry, which knows more of it."""
        self._missing.pop(name, None)
        self._tell()

    def failed(self, name: str, reason: str) -> None:
        """This one does not come, and why."""
        self._missing[name] = reason
        self._tell()

    def is_coming(self, name: str) -> bool:
        """Whether this one is on its way."""
        return self._missing.get(name, "") is None

    def end(self) -> None:
        """Nothing is loaded any more: what is still on its way does not come."""
        for name, reason in self._missing.items():
            self._missing[name] = reason or "its load ended without a word"
        self._tell()

    def when_over(self) -> Deferred[None]:
        """Fires when none is on its way any more."""
        if self._is_over:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    @property
    def _is_over(self) -> bool:
        return None not in self._missing.values()

    def _tell(self) -> None:
        if self._is_over:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def missing(self, registry: Registry) -> list[str]:
        """Those that are not there, unless somebody has registered them after all."""
        served = registry.names()
        return [name for name, why in self._missing.items() if why is None or name not in served]


def unready_models(registry: Registry, start_up: LoadStatus | None = None) -> list[str]:
    """
    The models that are meant to have workers and have none that has loaded.

    :param start_up: knows of more models that are meant to be there.
    """
    unready = {
        name
        for name in registry.names()
        if any(version.pool.minimum and not version.pool.ready for version in registry.versions(name))
    }
    return sorted(unready.union(start_up.missing(registry) if start_up is not None else ()))
