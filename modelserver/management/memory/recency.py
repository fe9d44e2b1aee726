"""When each version was used last, without anything to be done for a request."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from attrs import field

from modelserver.core.version import ModelVersion
from modelserver.language.attributes import define


@define
class _Use:
    at: float
    served: int


@define(eq=False)
class Recency:
    """Compares what each version has served with what it had at the look before."""

    _uses: WeakKeyDictionary[ModelVersion, _Use] = field(factory=WeakKeyDictionary, init=False)

    def look(self, versions: Iterable[ModelVersion], now: float) -> None:
        """Note which versions were used since the last look; new ones count as used."""
        for version in versions:
            served = version.pool.served
            use = self._uses.get(version)
            if use is None:
                self._uses[version] = _Use(now, served)
            elif use.served != served or not version.pool.is_idle:
                use.at, use.served = now, served

    def used(self, version: ModelVersion) -> float:
        """Return when a version was seen used last, in the clock's seconds; 0 before the first look."""
        use = self._uses.get(version)
        return 0.0 if use is None else use.at
