"""What was worked out once and is kept: it is forgotten, all together, when there is too much of it."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import TypeVar

Key = TypeVar("Key", bound=Sized)
Value = TypeVar("Value")


class Memo(dict[Key, Value]):
    """
    Makes a value at the first look for it; a later look costs what a look into a dictionary costs.

    :param make: the value of a key; what it raises is not kept.
    :param most: values that are kept.
    :param longest: of keys that are kept; None: of any length.
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
