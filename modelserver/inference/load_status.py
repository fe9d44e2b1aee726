"""The models of the server's start: which are registered, on their way, or failed."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field

from modelserver.core.registry import Registry
from modelserver.language.attributes import define


@define(eq=False)
class LoadStatus:
    """Owns the names of the start's models that are not registered: on their way, or failed, and why."""

    _missing: dict[str, str | None] = field(factory=dict, init=False)

    def expect(self, names: Iterable[str]) -> None:
        """Note models that will be loaded."""
        self._missing.update(dict.fromkeys(names))

    def registered(self, name: str) -> None:
        """Note that a model is in the registry, which from now on answers for it."""
        self._missing.pop(name, None)

    def failed(self, name: str, reason: str) -> None:
        """Note that a model could not be loaded, and why."""
        self._missing[name] = reason

    def is_coming(self, name: str) -> bool:
        """Return whether a model is on its way."""
        return self._missing.get(name, "") is None

    def coming(self) -> list[str]:
        """Return the names of the models that are on their way."""
        return [name for name, why in self._missing.items() if why is None]

    def end(self) -> None:
        """Note the end of the start: models that are still on their way will not come."""
        for name, reason in self._missing.items():
            self._missing[name] = reason or "its load ended without a word"

    def missing(self, registry: Registry) -> list[str]:
        """Return the models that are not served; one that failed and was registered since does not count."""
        served = registry.names()
        return [name for name, why in self._missing.items() if why is None or name not in served]
