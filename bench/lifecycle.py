"""What a change costs: start, register, scale, recover from ``kill -9``; and the memory held."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import psutil
from attrs import frozen

from bench.processes import Memory, memory
from bench.target import Deployment, Target, TargetFailed, call

RECOVERY_SECONDS = 60.0
NAME = "life"


@frozen
class Life:
    """
    One server's figures; seconds, and bytes.

    :param first_code: the status of the first answer after the kill.
    """

    target: str
    start: float
    register: float
    scale: float
    recovery: float
    first_code: int
    memory_with_one: Memory
    memory_with_four: Memory
    load: float


def measure(target: Target, start: float, load: float) -> Life:
    """
    Register a noop with one worker, scale it to four and back, kill the worker, and weigh.

    :param start: what the start took.
    :param load: the machine's load average, for the record.
    :raises TargetFailed: the server refused a call.
    """
    register = target.register(Deployment(NAME, "noop"))
    try:
        one = target.tree.memory()
        recovery, code = recover(target, NAME)
        scale = target.scale(NAME, 4)
        four = target.tree.memory()
    finally:
        target.unregister(NAME)
    return Life(target.name, start, register, scale, recovery, code, one, four, load)


def recover(target: Target, name: str) -> tuple[float, int]:
    """
    Kill a model's only worker, which has served, with SIGKILL and ask until there is a right answer again.

    :returns: seconds from the kill to that answer, and the status of the first answer of all.
    :raises TargetFailed: there was none in a minute.
    """
    code, _ = call(target.port, "POST", f"/predictions/{name}", body=b"1")
    pids = target.worker_pids(name)
    if code != 200 or len(pids) != 1:
        raise TargetFailed(f"{target.name} answers {code} with {len(pids)} workers for {name}, expected one")
    begun, first = time.monotonic(), 0
    psutil.Process(pids[0]).kill()
    while time.monotonic() - begun < RECOVERY_SECONDS:
        code, _ = call(target.port, "POST", f"/predictions/{name}", 10.0, b"1")
        first = first or code
        if code == 200:
            return time.monotonic() - begun, first
        time.sleep(0.002)
    raise TargetFailed(f"{target.name} did not recover from a killed worker")


def workers_memory(pids: list[int]) -> Memory:
    """Memory of these processes together."""
    return memory(list(_living(pids)))


def _living(pids: list[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            yield psutil.Process(pid)


def measure_all(
    starts: list[tuple[Target, float]], say: Callable[[str], None], average: Callable[[], float]
) -> Iterator[Life]:
    """Measure each started server; one that refuses is named and left out."""
    for target, start in starts:
        say(f"life of {target.name}")
        try:
            yield measure(target, start, average())
        except TargetFailed as error:
            say(f"skipped: {error}")
