"""When the series of unregistered versions are dropped, and which series are theirs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from attrs import field

from modelserver.language.attributes import define, frozen
from modelserver.metrics.series import Labels
from modelserver.metrics.tallies import RequestTallies

Key = TypeVar("Key")

LONGEST_KEPT = 120.0
"""Seconds that the series of a version are kept for a scrape: two of the usual intervals."""
MODEL_LABELS = frozenset({"model", "model_name", "ModelName"})
"""The names of labels that hold a model's name."""
VERSION_LABELS = frozenset({"version", "model_version"})
"""The names of labels that hold a version's number, or in one metric the version that a client named."""


@define(eq=False)
class Departures:
    """Versions that are gone and were not read since; and those that were read once."""

    _unread: dict[tuple[str, str], float] = field(factory=dict, init=False)
    _read: set[tuple[str, str]] = field(factory=set, init=False)

    def add(self, model: str, version: str, now: float) -> None:
        """Note that a version has gone."""
        self._unread[model, version] = now

    def due(self, now: float, is_read: bool) -> Collection[tuple[str, str]]:
        """
        Return the versions whose series go now: the scrape before this one has had their last numbers.

        :param is_read: this is a scrape: it has the last numbers of those that have gone since then.
        """
        if not self._unread and not self._read:
            return ()
        late = {key for key, at in self._unread.items() if not 0 <= now - at < LONGEST_KEPT}
        gone = late | self._read if is_read else late
        for key in late:
            del self._unread[key]
        if is_read:
            self._read = set(self._unread)
            self._unread.clear()
        return gone


@frozen
class Departed:
    """
    What is gone for good.

    :param models: the names that no version has any more.
    :param versions: names and numbers.
    """

    models: frozenset[str]
    versions: frozenset[tuple[str, str]]

    def has_left(self, dimensions: tuple[str, ...]) -> Callable[[Labels], bool]:
        """Return what tells whether the labels of a series, named by ``dimensions``, are of what is gone."""
        model = next((at for at, name in enumerate(dimensions) if name in MODEL_LABELS), None)
        version = next((at for at, name in enumerate(dimensions) if name in VERSION_LABELS), None)

        def has_left(labels: Labels) -> bool:
            if model is None or model >= len(labels):
                return False
            if labels[model] in self.models:
                return True
            is_named = version is not None and version < len(labels)
            return is_named and (labels[model], labels[version or 0]) in self.versions

        return has_left

    def has_key(self, key: object) -> bool:
        """Return whether a key of the tallies is of what is gone: it begins with a model and a version."""
        if not isinstance(key, tuple):
            return False
        return key[0] in self.models or key[:2] in self.versions

    def leave(self, tallies: RequestTallies) -> None:
        """Drop what the request path has counted for it."""
        self._leave(tallies.arrivals)
        self._leave(tallies.jobs)
        self._leave(tallies.batches)

    def _leave(self, counted: dict[Key, Any]) -> None:
        for key in [each for each in counted if self.has_key(each)]:
            del counted[key]
