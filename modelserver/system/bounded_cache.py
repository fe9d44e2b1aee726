"""A bounded cache of computed values: when it is full, it is emptied."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import TypeVar

Key = TypeVar("Key", bound=Sized)
Value = TypeVar("Value")


class Memo(dict[Key, Value]):
    """
    Computes a value at the first look-up of its key; a later look-up costs as much as that of a ``dict``.

    :param make: computes the value of a key; an exception of it is not cached.
    :param most: how many values are kept.
    :param longest: the length of the longest key that is kept; None: any length.
    """

    def __init__(self, make: Callable[[Key], Value], most: int, longest: int | None = None) -> None:
        super().__init__()
        self._make = make
        self._most = most
        self._longest = longest

    def __missing__(self, key: Key) -> Value:
        value = self._make(key)
        if self._longest is None or len(key) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[key] = value
        return value
