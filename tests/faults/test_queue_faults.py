"""Queues that are full, and models that go while requests wait."""

from __future__ import annotations

import threading

import pytest

from tests.harness.faults import WatchedServer
from tests.harness.obedient_models import in_background, say, serve
from tests.harness.server_process import (
    LONGEST,
    eventually,
)

pytestmark = pytest.mark.xdist_group("worker faults")


def test_a_full_queue_refuses_at_once_and_tells_when_to_come_back(server: WatchedServer, model: str) -> None:
    """The limit is named; those who are in are served."""
    serve(server, model, config="jobQueueSize: 2\n")
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    answers, thread = in_background(server, model, [f"noted-wait {started} {gate}"])
    eventually(started.exists)
    others, more = in_background(server, model, ["a", "b"])
    eventually(lambda: _waiting(server, model) == 2)
    refused = say(server, model, "c")
    gate.touch()
    for each in (thread, more):
        each.join(LONGEST)
    assert refused.status == 503
    assert "job_queue_size" in refused.text
    assert int(refused.headers["retry-after"]) >= 1
    assert [answer.status for answer in (*answers, *others)] == [200] * 3


def _waiting(server: WatchedServer, model: str) -> int:
    (described,) = server.management("GET", f"/models/{model}").json()
    return int(described["jobQueueStatus"]["pendingRequests"])


def test_without_a_free_worker_there_is_no_job_ticket(server: WatchedServer, model: str) -> None:
    """``useJobTicket``: nobody waits."""
    serve(server, model, config="useJobTicket: true\n")
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    _, thread = in_background(server, model, [f"noted-wait {started} {gate}"])
    eventually(started.exists)
    refused = say(server, model, "b")
    gate.touch()
    thread.join(LONGEST)
    assert (refused.status, "job ticket" in refused.text) == (503, True), refused.text
    assert say(server, model, "b").status == 200


@pytest.mark.parametrize("workers", [0, 1])
def test_scaling_down_answers_everybody(server: WatchedServer, model: str, workers: int) -> None:
    """What is in hand is finished; what waits is finished, or refused when nobody is left."""
    serve(server, model, workers=2)
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    orders = [f"noted-wait {started} {gate}"] * 2
    answers, thread = in_background(server, model, orders)
    eventually(lambda: started.exists() and len(started.read_text().split()) == 2)
    queued, more = in_background(server, model, ["a", "b"])
    eventually(lambda: _waiting(server, model) == 2)
    server.management("PUT", f"/models/{model}?min_worker={workers}&max_worker={workers}")
    gate.touch()
    for each in (thread, more):
        each.join(LONGEST)
    assert [answer.status for answer in answers] == [200, 200]
    assert [answer.status for answer in queued] == ([200, 200] if workers else [503, 503])


def test_unregistering_answers_everybody(server: WatchedServer, model: str) -> None:
    """What is in hand is finished; what waits is refused."""
    serve(server, model)
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    answers, thread = in_background(server, model, [f"noted-wait {started} {gate}"])
    eventually(started.exists)
    queued, more = in_background(server, model, ["a", "b"])
    eventually(lambda: _waiting(server, model) == 2)
    gone = threading.Thread(target=server.management, args=("DELETE", f"/models/{model}"))
    gone.start()
    more.join(LONGEST)
    gate.touch()
    thread.join(LONGEST)
    gone.join(LONGEST)
    assert [answer.status for answer in answers] == [200]
    assert [answer.status for answer in queued] == [503, 503]
