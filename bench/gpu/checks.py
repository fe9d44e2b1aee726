"""The checks: each returns its figure, or raises why it has failed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bench.gpu.device import apart, bare_uuid, told_bytes, told_of_worker, with_context
from bench.gpu.rig import SECONDS, CheckFailed, NotTold, Rig, make_server, require, wait_until
from bench.load import Load, put
from bench.servers import CHECKOUT
from bench.target import call

Check = Callable[[Rig], str]

MOST_APART = 0.02
HELD = 2 << 30
FAILURES = (500, 503, 507)
"""What a request may be answered whose handler has raised: 503 is TorchServe's."""
NAMESPACE = "the driver names processes by ids of another namespace, or not at all"
WORKERS = 4
LOOP_SECONDS = 3


def device_side_assert(rig: Rig) -> str:
    """An assert on the device: that request fails with the cause, the next is answered."""
    server = rig.server
    server.have("first")
    server.have("other")
    other = server.who("other")
    code, text = server.ask("first", "assert")
    require(code in FAILURES, f"the request was answered {code}: {text}")
    broken = code
    require("assert" in text.lower(), f"the answer does not tell the cause: {text}")
    begun = time.monotonic()
    code, text = server.ask("first", "add")
    seconds = time.monotonic() - begun
    require((code, text) == (200, "1024"), f"the next request was answered {code}: {text}")
    require(server.who("other") == other, "the other model has another worker")
    return f"{broken} with the cause; the next request 200 after {seconds:.2f} s; the other model unharmed"


def memory_for_good(rig: Rig) -> str:
    """A worker whose memory stays full is replaced."""
    server = rig.server
    server.have("full")
    before, _ = server.who("full")
    code, text = server.ask("full", "fill")
    require(code in FAILURES, f"the request was answered {code}: {text}")
    seconds = wait_until(lambda: server.ask("full", "add")[0] == 200, "no answer of a worker with memory")
    require(server.who("full")[0] != before, "it is the same worker, which should have no memory")
    return f"{code}; a new worker answers after {seconds:.2f} s"


def device_bytes(rig: Rig) -> str:
    """The server's bytes in use of the device are those of NVML."""
    server = rig.server
    server.have("holds")
    code, text = server.ask("holds", f"hold {HELD}")
    require(code == 200, f"the memory was not had: {code} {text}")
    found = [0, 0]

    def is_near() -> bool:
        status, body = call(server.metrics_port, "GET", "/metrics")
        told = told_bytes(body.decode()) if status == 200 else {}
        found[:] = told.get(0, 0), rig.device.used
        return found[0] >= HELD and apart(*found) <= MOST_APART

    try:
        wait_until(is_near, "", 10.0)
    except CheckFailed:
        raise CheckFailed(f"the server tells {found[0]:,} bytes, NVML {found[1]:,}") from None
    return f"{found[0]:,} bytes, NVML {found[1]:,}: {apart(*found):.2%} apart"


def process_bytes(rig: Rig) -> str:
    """The server's bytes of a worker on the device are those of NVML."""
    server = rig.server
    server.have("holds")
    worker, _ = server.who("holds")
    real = rig.device.processes().get(worker, 0)
    if not real:
        raise NotTold(NAMESPACE)
    code, body = call(server.management_port, "GET", "/models/holds")
    require(code == 200, f"describe answered {code}")
    told = told_of_worker(json.loads(body), worker)
    figure = f"{told:,} bytes, NVML {real:,}: {apart(told, real):.2%} apart"
    require(apart(told, real) <= MOST_APART, figure)
    return figure


def four_workers(rig: Rig) -> str:
    """Four workers of a model share the device, and all answer."""
    server = rig.server
    server.have("four", WORKERS)
    pids: set[int] = set()

    def all_have_answered() -> bool:
        pool = ThreadPoolExecutor(2 * WORKERS)
        try:
            pids.update(pid for pid, _ in pool.map(server.who, ["four"] * 4 * WORKERS))
        finally:
            # Who has failed, or is interrupted, does not wait for the questions that are left.
            pool.shutdown(wait=False, cancel_futures=True)
        return len(pids) == WORKERS

    wait_until(all_have_answered, "not all four workers have answered")
    return f"{len(pids)} workers have answered"


def no_context(rig: Rig) -> str:
    """Neither the server nor a template has a context on the device."""
    server = rig.server
    server.have("holds")
    worker, _ = server.who("holds")
    holders = rig.device.processes()
    if worker not in holders:
        raise NotTold(NAMESPACE)
    workers = {worker, *(pid for model in server.models for pid in server.worker_pids(model))}
    others = [member.pid for member in server.tree.members() if member.pid not in workers]
    found = with_context(others, holders)
    require(not found, f"processes {found} have a context, and are no workers")
    return f"none of {len(others)} processes beside the workers"


def noop(rig: Rig) -> str:
    """A tiny sum on the device, served, beside the same in a bare loop."""
    server = rig.server
    server.have("other")
    body = rig.folder / "body"
    body.write_bytes(b"add")
    load = Load(server.port, "/predictions/other", body, 16, LOOP_SECONDS)
    served = put(load, server.tree, "asyncio")
    require(not served.errors, f"{served.errors} requests failed: {served.first_error}")
    bare = bare_rate()
    return f"{served.rate:,.0f} requests/s beside {bare:,.0f} calls/s: {served.rate / bare:.2f}"


def bare_rate() -> float:
    """Return the calls a second of the bare loop, which runs in a process of its own."""
    command = [sys.executable, "-m", "bench.handlers.gpu", str(LOOP_SECONDS)]
    told = subprocess.run(
        command, check=True, timeout=2 * SECONDS, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    return float(told.stdout)


def visible_by_index(rig: Rig) -> str:
    """``CUDA_VISIBLE_DEVICES=0`` is the device."""
    return _visible(rig, "0", "by-index")


def visible_by_uuid(rig: Rig) -> str:
    """``CUDA_VISIBLE_DEVICES=GPU-...`` is the device."""
    return _visible(rig, rig.device.uuid, "by-uuid")


def _visible(rig: Rig, word: str, folder: str) -> str:
    server = make_server(rig.folder / folder, word)
    server.start()
    try:
        server.have("seen")
        _, uuid = server.who("seen")
    finally:
        server.stop()
    require(bare_uuid(uuid) == bare_uuid(rig.device.uuid), f"the worker is on {uuid}")
    return "the worker is on the device"


CHECKS: dict[str, Check] = {
    "four workers on the device": four_workers,
    "bytes of the device within 2 % of NVML": device_bytes,
    "bytes of a worker within 2 % of NVML": process_bytes,
    "no context in server and templates": no_context,
    "served beside a bare loop": noop,
    "CUDA_VISIBLE_DEVICES by index": visible_by_index,
    "CUDA_VISIBLE_DEVICES by UUID": visible_by_uuid,
    "an assert on the device": device_side_assert,
    "out of memory for good": memory_for_good,
}
"""In the order in which they are made: those that break a worker come last."""
