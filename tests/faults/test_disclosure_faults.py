"""What a server that asks for keys tells whom: causes of failures, and the names of models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.faults import OBEY, WatchedServer, serving
from tests.harness.server_process import Answer, ask

pytestmark = pytest.mark.xdist_group("disclosure faults")

KEYS = {kind: f"a-key-for-{kind}" for kind in ("inference", "management", "API")}
BROKEN = "raise ValueError('/etc/secret')\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServer]:
    """A server with keys, where one model serves and one of the start cannot load."""
    file: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    file.write_text(json.dumps({kind: {"key": key} for kind, key in KEYS.items()}), "ascii")
    file.chmod(0o600)
    settings = {
        "disable_token_authorization": "false",
        "token_file": str(file),
        "load_models": "broken.mar",
        "default_workers_per_model": "1",
    }
    with serving({"obey": OBEY, "broken": BROKEN}, settings) as started:
        answer = call(started, 1, "POST", "/models?url=obey.mar&initial_workers=1&synchronous=true")
        assert answer.status == 200, answer.text
        yield started


def call(server: WatchedServer, listener: int, method: str, path: str, body: bytes = b"") -> Answer:
    """Ask with the key of the listener."""
    key = KEYS[("inference", "management")[listener]]
    return ask(server.ports[listener], method, path, body, {"Authorization": f"Bearer {key}"})


def test_predictions_do_not_tell_causes_where_keys_are_needed(server: WatchedServer) -> None:
    """A client with the inference key is not the operator."""
    for order in (b"raise /etc/secret", b"stderr /etc/secret"):
        answer = call(server, 0, "POST", "/predictions/obey", order)
        assert answer.status >= 500, answer.text
        assert "secret" not in answer.text


def test_management_tells_causes_to_who_has_its_key(server: WatchedServer) -> None:
    """Who may register code may see it fail."""
    answer = call(server, 1, "POST", "/models?url=broken.mar&model_name=b&initial_workers=1&synchronous=true")
    assert (answer.status, "/etc/secret" in answer.text) == (500, True), answer.text


def test_names_of_models_are_told_with_a_key_only(server: WatchedServer) -> None:
    """A probe needs no key, and is told no names."""
    port = server.ports[0]
    without = ask(port, "GET", "/health/ready")
    wrong = ask(port, "GET", "/health/ready", None, {"Authorization": "Bearer guess"})
    for answer in (without, wrong):
        assert (answer.status, answer.json()) == (503, {"ready": False}), answer.text
    told = call(server, 0, "GET", "/health/ready")
    assert (told.status, "broken" in told.json()["models"]) == (503, True), told.text


def test_a_preflight_is_answered_with_nothing(server: WatchedServer) -> None:
    """A browser sends one, without a key, before each request of a page: it is told nothing of the model."""
    asks = {"Origin": "http://app.example", "Access-Control-Request-Method": "POST"}
    for path in ("/", "/predictions/obey", "/predictions/nothing"):
        answer = ask(server.ports[0], "OPTIONS", path, None, asks)
        assert (answer.status, answer.body) == (200, b"")
    described = call(server, 0, "OPTIONS", "/predictions/obey")
    assert described.json()["openapi"] == "3.0.1"
    assert len(described.body) < 1.5 * 3637  # TorchServe's
