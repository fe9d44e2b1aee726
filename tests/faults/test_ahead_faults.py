"""Requests that were sent ahead of a call that takes long: they are late for nobody, and run once."""

from __future__ import annotations

import http.client

import pytest

from tests.harness.faults import WatchedServer
from tests.harness.obedient_models import in_background, say, serve
from tests.harness.server_process import HOST, LONGEST, eventually

pytestmark = pytest.mark.xdist_group("worker faults")


def _warm(server: WatchedServer, model: str) -> None:
    """Have the workers known to be fast, so that requests are sent ahead."""
    for _ in range(4):
        server.predict_together(model, [b"x"] * 32)


def _waiting(server: WatchedServer, model: str) -> int:
    (described,) = server.management("GET", f"/models/{model}").json()
    return int(described["jobQueueStatus"]["pendingRequests"])


def test_fast_requests_go_to_the_worker_that_is_free(server: WatchedServer, model: str) -> None:
    """While one worker is at a slow call, all others are answered, each run once."""
    serve(server, model, workers=2)
    _warm(server, model)
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    open_gate, trace = server.folder / f"{model}.open", server.folder / f"{model}.trace"
    open_gate.touch()
    fast = f"noted-wait {trace} {open_gate}"
    answers, thread = in_background(
        server, model, [*[fast] * 20, f"noted-wait {started} {gate}", *[fast] * 40]
    )
    eventually(started.exists)
    eventually(lambda: len(trace.read_text().splitlines()) == 60)
    gate.touch()
    thread.join(LONGEST)
    assert [answer.status for answer in answers] == [200] * 61
    assert len(trace.read_text().splitlines()) == 60


def test_what_waits_behind_a_call_counts_as_waiting(server: WatchedServer, model: str) -> None:
    """``job_queue_size=2`` and one busy worker: two more, however fast the worker was."""
    serve(server, model, config="jobQueueSize: 2\n")
    for _ in range(200):
        say(server, model, "x")
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    answers, thread = in_background(server, model, [f"noted-wait {started} {gate}"])
    eventually(started.exists)
    others, more = in_background(server, model, ["a", "b"])
    eventually(lambda: _waiting(server, model) == 2)
    refused = [say(server, model, "c").status for _ in range(3)]
    gate.touch()
    for each in (thread, more):
        each.join(LONGEST)
    assert refused == [503] * 3
    assert [answer.status for answer in (*answers, *others)] == [200] * 3


def test_a_request_whose_client_left_before_its_call_is_not_run(server: WatchedServer, model: str) -> None:
    """Ten leave while a slow call is in front of them."""
    serve(server, model)
    for _ in range(200):
        say(server, model, "x")
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    trace = server.folder / f"{model}.trace"
    answers, thread = in_background(server, model, [f"noted-wait {started} {gate}"])
    eventually(started.exists)
    clients = [http.client.HTTPConnection(HOST, server.ports[0], timeout=LONGEST) for _ in range(10)]
    for client in clients:
        client.request("POST", f"/predictions/{model}", f"noted-wait {trace} {gate}")
    eventually(lambda: _waiting(server, model) == 10)
    for client in clients:
        client.close()
    eventually(lambda: _waiting(server, model) == 0)
    gate.touch()
    thread.join(LONGEST)
    assert say(server, model, "last").text == "last"
    assert [answer.status for answer in answers] == [200]
    assert not trace.exists()
