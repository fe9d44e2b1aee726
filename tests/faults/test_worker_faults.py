"""Workers that die, hang, lie and flood: what each does in a real server, and what must hold."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from attrs import frozen

from tests.harness.faults import WatchedServer, watching
from tests.harness.obedient_models import PACKER, in_background, say, serve
from tests.harness.server_process import (
    LONGEST,
    Answer,
    ask,
    eventually,
    is_alive,
)

pytestmark = pytest.mark.xdist_group("worker faults")
MEGABYTE = 1 << 20


@frozen
class Death:
    """
    An order that ends every worker that has it.

    :param told: what the client is told of the end.
    """

    id: str
    order: str
    told: str
    code: int = 500


DEATHS = (
    Death("exit-0", "exit 0", "exited with code 0"),
    Death("exit-3", "exit 3", "exited with code 3"),
    Death("segfault", "signal SIGSEGV", "SIGSEGV"),
    Death("abort", "signal SIGABRT", "SIGABRT"),
    Death("kill", "signal SIGKILL", "SIGKILL"),
    Death("exit-137", "exit 137", "out of memory", 507),
    Death("last-words", "stderr what-a-pity", "what-a-pity"),
    Death("closed-socket", "close", "closed its socket"),
    Death("no-frame", "write " + (b"this is no frame at all, " * 9).hex(), "protocol"),
    Death("late-answer", "answer -1", "not the oldest in hand"),
    Death("early-answer", "answer 1", "not the oldest in hand"),
    Death("flood-of-no-frames", "write " + (b"\xff" * 60000).hex(), "protocol"),
)


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.id)
def test_the_job_that_kills_workers_is_told_why(server: WatchedServer, model: str, death: Death) -> None:
    """After two of them; then the model serves again."""
    serve(server, model)
    answer = say(server, model, death.order)
    assert answer.status == death.code, answer.text
    assert "Worker died." in answer.text
    assert death.told in answer.text, answer.text
    assert say(server, model, "fine").body == b"fine"
    (worker,) = server.workers(model)
    assert worker["restarts"] == 2
    assert death.told in json.dumps(worker["lastFailure"]), worker


def test_a_job_whose_worker_died_is_answered_by_the_next(server: WatchedServer, model: str) -> None:
    """A crash costs its client nothing but time."""
    serve(server, model)
    assert say(server, model, f"exit-once {server.folder}/{model} 3").body == b"second"
    counted = [
        line
        for line in ask(server.ports[2], "GET", "/metrics").text.splitlines()
        if line.startswith("modelserver_job_retries_total{") and model in line
    ]
    assert [float(line.split()[-1]) for line in counted] == [1.0]


def test_killed_with_a_request_in_hand(server: WatchedServer, model: str) -> None:
    """``kill -9`` of the only worker: its replacement answers."""
    serve(server, model)
    started, gate = server.folder / f"{model}.started", server.folder / f"{model}.gate"
    answers, thread = in_background(server, model, [f"noted-wait {started} {gate}"])
    eventually(started.exists)
    os.kill(server.pids(model)[0], signal.SIGKILL)
    gate.touch()
    thread.join(LONGEST)
    assert [answer.status for answer in answers] == [200]


def test_an_idle_worker_is_killed_and_a_request_comes_at_once(server: WatchedServer, model: str) -> None:
    """It waits for the new worker."""
    serve(server, model)
    os.kill(server.pids(model)[0], signal.SIGKILL)
    assert say(server, model, "fine").status == 200


def test_poison_in_a_batch_of_eight(server: WatchedServer, model: str) -> None:
    """Seven get their answers, the eighth its reason."""
    serve(server, model, batch_size=8, max_batch_delay=500)
    orders = [f"good{number}" for number in range(7)] + ["exit 7"]
    answers = server.predict_together(model, [order.encode() for order in orders])
    assert [answer.status for answer in answers] == [200] * 7 + [500]
    assert [answer.text for answer in answers[:7]] == orders[:7]
    assert "exited with code 7" in answers[7].text


def test_two_poisons_among_many_with_two_workers(server: WatchedServer, model: str) -> None:
    """Whoever shares a batch or a worker with them is answered."""
    serve(server, model, workers=2, batch_size=4, max_batch_delay=50)
    orders = [f"good{number}" for number in range(14)] + ["exit 7", "exit 8"]
    answers = server.predict_together(model, [order.encode() for order in orders])
    assert [answer.status for answer in answers] == [200] * 14 + [500] * 2


def test_a_model_may_forbid_the_second_try(server: WatchedServer, model: str) -> None:
    """``retryOnWorkerDeath: 0`` in its model-config."""
    serve(server, model, config="retryOnWorkerDeath: 0\n")
    trace = server.folder / f"{model}.trace"
    assert say(server, model, f"exit-once {trace} 3").status == 500
    assert len(trace.read_text().split()) == 1


def test_a_job_that_timed_out_is_not_tried_again(server: WatchedServer, model: str) -> None:
    """It is told so, and the worker is a new one."""
    serve(server, model, response_timeout=1)
    trace = server.folder / f"{model}.trace"
    answer = say(server, model, f"hang {trace}")
    assert (answer.status, "response timeout" in answer.text) == (500, True), answer.text
    assert say(server, model, "fine").status == 200
    assert len(trace.read_text().split()) == 1


def test_only_the_late_one_of_many_is_told_so(server: WatchedServer, model: str) -> None:
    """Answers that a worker keeps, to send them with the next one, arrive although that one never does."""
    serve(server, model, response_timeout=1)
    statuses: list[int] = []
    late: list[Answer] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.is_set():
            statuses.append(say(server, model, "fine").status)

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(statuses) > 200)
    late.append(say(server, model, f"hang {server.folder}/{model}.trace"))
    over.set()
    for thread in threads:
        thread.join(LONGEST)
    assert (late[0].status, "response timeout" in late[0].text) == (500, True), late[0].text
    assert set(statuses) == {200}


def test_a_deaf_worker_is_ended_by_force(server: WatchedServer, model: str) -> None:
    """It ignores TERM; the unregister comes to its end all the same."""
    serve(server, model, response_timeout=30)
    (pid,) = server.pids(model)
    trace, gate = server.folder / f"{model}.deaf", server.folder / "never"
    assert say(server, model, "fine").status == 200
    answers, thread = in_background(server, model, [f"exit-once {trace} 0", "deaf"])
    eventually(trace.exists)
    server.management("PUT", f"/models/{model}?min_worker=0&max_worker=0&timeout=1&synchronous=true")
    thread.join(LONGEST)
    assert len(answers) == 2
    eventually(lambda: not server.pids(model) and not is_alive(pid))
    assert not gate.exists()


def test_the_children_of_a_worker_go_with_it(server: WatchedServer, model: str) -> None:
    """Its whole process group is ended."""
    serve(server, model)
    file = server.folder / f"{model}.child"
    assert say(server, model, f"child {file}").status == 200
    child = int(file.read_text())
    assert is_alive(child)
    os.kill(server.pids(model)[0], signal.SIGKILL)
    eventually(lambda: not is_alive(child))


def test_what_a_worker_leaves_behind_goes_with_it(server: WatchedServer, model: str) -> None:
    """It is in a session of its own, and its parent has ended; what a worker that lives left stays."""
    left = {}
    for name in (model, f"{model}-too"):
        serve(server, name)
        file = server.folder / f"{name}.left"
        assert say(server, name, f"leave {file}").status == 200
        left[name] = int(file.read_text())
    (pid,) = server.pids(model)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not is_alive(left[model]))
    assert is_alive(left[f"{model}-too"])
    server.management("DELETE", f"/models/{model}-too")
    eventually(lambda: not is_alive(left[f"{model}-too"]))


def test_orphans_are_reaped(server: WatchedServer, model: str) -> None:
    """As by process 1 of a container, which the server may be."""
    serve(server, model)
    for _ in range(5):
        assert say(server, model, "orphan").status == 200
    server_process = psutil.Process(server.process.pid)
    eventually(lambda: not [child for child in server_process.children() if "sleep" in _name(child)])


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def test_a_worker_that_answers_twice_is_ended(server: WatchedServer, model: str) -> None:
    """The first answer counts; the second is nobody's, and its worker is replaced."""
    serve(server, model)
    (pid,) = server.pids(model)
    assert say(server, model, "answer 0").body == b"first"
    assert say(server, model, "fine").body == b"fine"
    eventually(lambda: pid not in server.pids(model))
    (worker,) = eventually(lambda: [row for row in server.workers(model) if row["status"] == "READY"])
    assert "not the oldest in hand" in json.dumps(worker["lastFailure"]), worker


@pytest.mark.parametrize(("size", "ending"), [(128, "lines"), (1024, "nothing")])
def test_a_flood_of_output_holds_nobody_up(server: WatchedServer, model: str, size: int, ending: str) -> None:
    """It is read, cut and dropped: memory stays, and the reactor is there."""
    serve(server, model)
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    with watching(server):
        assert say(server, model, f"flood {size * MEGABYTE} {ending}").body == b"flooded"
    assert process.memory_info().rss - before < 50 * MEGABYTE


def test_a_worker_that_eats_memory_is_ended(server: WatchedServer, model: str) -> None:
    """``workerMemoryLimit``: 507, with the cause; others notice nothing."""
    serve(server, model, config=f"workerMemoryLimit: {200 * MEGABYTE}\n")
    answer = say(server, model, f"eat {400 * MEGABYTE}")
    assert (answer.status, "memory" in answer.text) == (507, True), answer.text
    assert say(server, model, "fine").status == 200


def test_worn_workers_are_replaced_without_a_gap(server: WatchedServer, model: str) -> None:
    """``maxRequestsPerWorker``: every request is answered, by more than one process."""
    serve(server, model, config="maxRequestsPerWorker: 10\n")
    pids: set[str] = set()
    until = time.monotonic() + LONGEST
    while len(pids) < 3 and time.monotonic() < until:
        answer = say(server, model, "pid")
        assert answer.status == 200
        pids.add(answer.text)
    assert len(pids) >= 3
    assert len(server.workers(model)) == 1


def test_descriptors_of_the_server_are_closed_in_workers(server: WatchedServer, model: str) -> None:
    """A worker has its three streams, its socket, and what it opened itself."""
    serve(server, model)
    names = json.loads(say(server, model, "descriptors").body)
    sockets = [target for target in names.values() if target.startswith("socket:")]
    assert len(sockets) == 1, names
    assert not [target for target in names.values() if "store" in target or target.endswith(".log")], names


def test_hidden_variables_are_hidden(server: WatchedServer, model: str) -> None:
    """``blacklist_env_vars``."""
    serve(server, model)
    assert say(server, model, "environment MY_SECRET_KEY").body == b"-"
    assert say(server, model, "environment MY_PLAIN_KEY").body == b"seen"


BROKEN = (
    ("import", "import no_such_module_anywhere\ndef handle(data, context):\n    return data\n"),
    ("syntax", "def handle(data, context:\n"),
    ("raise", "def handle(data, context):\n    raise RuntimeError('no weights today')\n"),
    (
        "panic",
        "class Panic(BaseException):\n    pass\ndef handle(data, context):\n    raise Panic('of Rust')\n",
    ),
    ("exit", "import os\nos._exit(5)\ndef handle(data, context):\n    return data\n"),
    ("kill", "import os\nos.kill(os.getpid(), 9)\ndef handle(data, context):\n    return data\n"),
)


@pytest.mark.parametrize(("kind", "source"), BROKEN, ids=[kind for kind, _ in BROKEN])
def test_a_model_that_cannot_load_is_refused_with_the_reason(
    server: WatchedServer, kind: str, source: str
) -> None:
    """Nothing stays registered, so that the next attempt is the same."""
    archive = PACKER.add_model(server, f"broken-{kind}", source).name
    for _ in range(2):
        answer = server.register(archive)
        assert answer.status == 500, answer.text
        assert "Failed to start workers" in answer.text
    assert server.management("GET", f"/models/broken-{kind}").status == 404


def test_a_load_that_never_ends_is_ended(server: WatchedServer) -> None:
    """``startup_timeout``."""
    source = "import time\ntime.sleep(600)\ndef handle(data, context):\n    return data\n"
    archive = PACKER.add_model(server, "endless", source).name
    answer = server.register(archive, startup_timeout=1)
    assert (answer.status, "startup timeout" in answer.text) == (500, True), answer.text


FAILURES = (
    ("raise oops", 503),
    ("quit nothing to do", 503),
    ("wrong", 503),
    ("big 7000000", 500),
)


@pytest.mark.parametrize(("order", "code"), FAILURES)
def test_a_handler_that_fails_costs_no_worker(
    server: WatchedServer, model: str, order: str, code: int
) -> None:
    """The same process serves on."""
    serve(server, model)
    before = say(server, model, "pid").body
    assert say(server, model, order).status == code
    assert say(server, model, "pid").body == before


@pytest.mark.parametrize(
    ("order", "status"), [("forked 0", b"0"), ("forked 3", b"3"), ("interrupted", b"-2")]
)
def test_what_a_handler_starts_ends_as_elsewhere(
    server: WatchedServer, model: str, order: str, status: bytes
) -> None:
    """A fork by its own exit status, a program by an interrupt; the worker is told, and lives on."""
    serve(server, model)
    before = say(server, model, "pid").body
    assert say(server, model, order).body == status
    assert say(server, model, "pid").body == before


def test_nothing_of_all_this_is_left(server: WatchedServer) -> None:
    """No process of a model that is gone, no file of its archive."""
    for model in server.management("GET", "/models?limit=100").json()["models"]:
        server.management("DELETE", f"/models/{model['modelName']}")
    eventually(lambda: not server.children())
    folders = [folder for folder in server.temporary.iterdir() if folder.name.startswith("modelserver-")]
    assert [list(Path(folder).iterdir()) for folder in folders] == [[]]
    assert list((server.temporary / "models").iterdir()) == []
