"""Pages of other origins, at the quickstart's server, and at a Unix socket in MMS's dialect."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from modelserver.cli.client.http import Client
from modelserver.cli.local_server import ChildServer, Ports, choose_ports, write_options
from modelserver.cli.quickstart.command import METRICS
from tests.harness.server_process import HOST, LONGEST, Answer, ServerProcess, ServerTests, ask

pytestmark = pytest.mark.xdist_group("page faults")
HANDLER = "def handle(data, context):\n    return data and ['fine' for _ in data]\n"
_PACKER = ServerTests("add_model")


@pytest.fixture(scope="module")
def quickstart() -> Iterator[Ports]:
    """The quickstart's server, with one model at work and another in its store."""
    with TemporaryDirectory(prefix="modelserver-faults-") as name:
        folder = Path(name)
        packed = ServerProcess(folder)
        packed.store.mkdir()
        for model in ("kept", "other"):
            _PACKER.add_model(packed, model, HANDLER)
        ports = choose_ports((0, 0, 0))
        with ChildServer(write_options(folder, packed.store, ports, METRICS), folder) as server:
            server.wait_until_healthy(Client(HOST, ports.inference, LONGEST), LONGEST)
            assert (
                manage(ports, "POST", "/models?url=kept.mar&initial_workers=1&synchronous=true").status == 200
            )
            yield ports


def manage(ports: Ports, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """Ask the management API; underscores of names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(ports.management, method, path, body, named)


def state(ports: Ports) -> Any:
    """Everything that a page might change."""
    names = [model["modelName"] for model in manage(ports, "GET", "/models").json()["models"]]
    described = [manage(ports, "GET", f"/models/{name}/all").json() for name in names]
    return [(each["modelName"], each["minWorkers"], each["maxWorkers"]) for [each] in described]


CALLS = (
    ("POST", "/models", b"url=other.mar&initial_workers=1&synchronous=true"),
    ("POST", "/models?url=other.mar", b""),
    ("PUT", "/models/kept?min_worker=2&synchronous=true", b""),
    ("PUT", "/models/kept/1.0/set-default", b""),
    ("DELETE", "/models/kept", b""),
)
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://page.example", "Sec_Fetch_Site": "cross-site", "Referer": "http://page.example/"},
        {"Origin": "null", "Sec_Fetch_Site": "cross-site"},
        {"Origin": "http://127.0.0.1:3000", "Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Host": "page.example:8081", "Origin": "http://page.example:8081", "Sec_Fetch_Site": "same-origin"},
        {"Host": "page.example:8081"},
    ],
    ids=["form", "sandboxed-form", "other-port", "no-cors", "rebound", "rebound-old-browser"],
)
def test_a_page_of_another_origin_changes_nothing(quickstart: Ports, headers: dict[str, str]) -> None:
    """Whatever it asks management for; the refusal says how to allow it."""
    before = state(quickstart)
    for method, path, body in CALLS:
        answer = manage(quickstart, method, path, body, Content_Type=FORM, **headers)
        assert (answer.status, answer.json()["code"]) == (403, 403), answer.text
        assert "allowed_hosts" in answer.json()["message"]
    assert state(quickstart) == before == [("kept", 1, 1)]
    answer = ask(quickstart.inference, "POST", "/predictions/kept", b"x", {"Origin": "http://page.example"})
    assert (answer.status, answer.text) == (200, "fine")


@pytest.mark.parametrize("host", ["", "localhost", "own-page"])
def test_programs_and_the_servers_own_pages_are_served(quickstart: Ports, host: str) -> None:
    """The control tool sends what curl and the peers' clients send; a page of the server its own origin."""
    if host == "own-page":
        origin = f"http://{HOST}:{quickstart.management}"
        headers = {"Origin": origin, "Sec_Fetch_Site": "same-origin"}
        assert manage(quickstart, "PUT", "/models/kept?min_worker=1", None, **headers).status == 202
        return
    tool = [sys.executable, "-m", "modelserver.cli.main"]
    address = ["--management", f"http://{host or HOST}:{quickstart.management}"]
    for words in (["register", "other.mar"], ["scale", "other", "--min", "1"], ["unregister", "other"]):
        subprocess.run([*tool, *words, *address], check=True, timeout=LONGEST)


def test_a_unix_socket_of_mms_is_reached_by_any_name(tmp_path: Path) -> None:
    """No name of a page leads to it; what a proxy lets through from other pages is refused as elsewhere."""
    path = tmp_path / "management.sock"
    server = ServerProcess(
        tmp_path, {"dialect": "mms", "management_address": f"unix:{path}", "load_models": "kept.mar"}
    )
    server.store.mkdir()
    _PACKER.add_model(server, "kept", HANDLER)
    server.start()
    try:
        scale = at_socket(path, "PUT", "/models/kept?min_worker=2&synchronous=true")
        assert scale({"Host": "whatever"}) == 200
        assert scale({"Host": "models.example", "Origin": "http://page.example"}) == 403
    finally:
        server.end()


def at_socket(path: Path, method: str, target: str) -> Callable[[dict[str, str]], int]:
    """Return what asks at a Unix socket, with headers that it is given, and returns the status."""

    def call(headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection("localhost", timeout=LONGEST)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(LONGEST)
        connection.sock.connect(str(path))
        try:
            connection.request(method, target, headers=headers)
            response = connection.getresponse()
            json.loads(response.read())
            return response.status
        finally:
            connection.close()

    return call
