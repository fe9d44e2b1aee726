"""The errors of the server, for tests that look whether a table has them all."""

from __future__ import annotations

from modelserver import errors


def of_the_server() -> list[type[errors.ServingError]]:
    """The server's errors, without those that other tests made, or attrs on the way."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if errors.ServingError in kind.__bases__]
