"""A server whose models obey, one for all modules of worker faults that run in the same process."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.harness.faults import OBEY, WatchedServer, serving


@pytest.fixture(scope="package")
def server() -> Iterator[WatchedServer]:
    """One server for all rows; each row registers a model of its own."""
    properties = {
        "worker_grace": "0.5",
        "blacklist_env_vars": ".*SECRET.*",
        "unregister_model_timeout": "20",
        "default_response_timeout": "30",
        "metrics_mode": "prometheus",
    }
    with serving({"obey": OBEY}, properties, {"MY_SECRET_KEY": "hidden", "MY_PLAIN_KEY": "seen"}) as started:
        yield started


@pytest.fixture
def model(server: WatchedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a model that is there for one test."""
    name = "m-" + re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[-60:]
    yield name
    server.management("DELETE", f"/models/{name}")
