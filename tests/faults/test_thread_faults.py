"""What a thread of the server waits for holds nobody else up."""

from __future__ import annotations

import http.client
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.faults import OBEY, serving
from tests.harness.server_process import LONGEST, ROOT, Answer, eventually

pytestmark = pytest.mark.xdist_group("thread faults")
NAMES = 14
MOST_AT_ONCE = 10
"""Threads that Twisted gives to names."""
_SHIM = """
import os
import pathlib
import socket
import time

folder = pathlib.Path(os.environ["STUCK_NAMES"])
resolve = socket.getaddrinfo


def stuck(host, *arguments, **more):
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name.endswith(".stuck.invalid"):
        (folder / name).touch()
        time.sleep(600)
    return resolve(host, *arguments, **more)


socket.getaddrinfo = stuck
"""
"""Run by Python before anything else: names that nobody answers for."""


def test_names_that_do_not_resolve_hold_nothing_up(tmp_path: Path) -> None:
    """While all threads for names wait, models are described, registered, and asked; the server ends."""
    (tmp_path / "sitecustomize.py").write_text(_SHIM)
    environment = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "STUCK_NAMES": str(tmp_path)}
    answers: list[Answer] = []
    with serving({"obey": OBEY}, {"default_response_timeout": "30"}, environment) as server:
        assert server.register("obey.mar").status == 200

        def register(number: int) -> None:
            with suppress(OSError, http.client.HTTPException):  # the server ends
                answers.append(server.register(f"http://name{number}.stuck.invalid/model{number}.mar"))

        threads = [threading.Thread(target=register, args=(number,)) for number in range(NAMES)]
        for thread in threads:
            thread.start()
        eventually(lambda: answers or len(list(tmp_path.glob("*.stuck.invalid"))) >= MOST_AT_ONCE)
        assert server.workers("obey")[0]["memoryUsage"] > 0
        assert server.register("obey.mar", model_name="another").status == 200
        assert server.predict("another", b"fine").text == "fine"
        assert answers == []
        server.terminate()
        for thread in threads:
            thread.join(LONGEST)
    assert [answer.status for answer in answers if answer.status < 400] == []
