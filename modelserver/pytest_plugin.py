"""
A pytest plugin with the fixture ``serve``.

``pytest_plugins = ["modelserver.pytest_plugin"]`` in a ``conftest.py`` loads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from modelserver.testing import serve as serve_while
from modelserver.testing.serve import ServedModel


class Serve(Protocol):
    """Serves a handler until the end of the test; see ``modelserver.testing.serve`` for what it takes."""

    def __call__(self, handler: str | Path, **settings: object) -> ServedModel: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve handlers in a test, each until its end."""
    with ExitStack() as served:

        def serve_here(handler: str | Path, **settings: object) -> ServedModel:
            return served.enter_context(serve_while(handler, **settings))  # type: ignore[arg-type]  # checked by serve

        yield serve_here
