"""Instead of threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred


def at_once(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Instead of a thread: now."""
    return maybeDeferred(function, *args, **kwargs)
