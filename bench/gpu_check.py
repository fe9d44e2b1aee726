"""
``python -m bench.gpu_check``: what only a real GPU can show, in less than eight minutes.

A server of this checkout serves models on the first NVIDIA GPU of the machine; each check is told with PASS
and its figure, FAIL and why, or SKIP where the machine does not let it be told.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from threading import Timer

import psutil
from attrs import frozen

from bench.gpu.checks import CHECKS, Check
from bench.gpu.device import Device
from bench.gpu.rig import CheckFailed, GpuServer, NotTold, Rig, make_server
from bench.sheet import describe_machine
from bench.target import TargetFailed
from modelserver.system.gpus import load_library

NOTHING = "no NVIDIA GPU here: nothing was checked"
MOST_SECONDS = 390.0
"""For the start and all checks; the end of one that is interrupted, and of the server, come on top."""
LAST_SECONDS = 470.0
"""After which the program ends, whatever it waits for: no signal interrupts a call of the driver."""
LONGEST = 75.0
SHORTEST = 10.0
"""Seconds that one check may take, and without which none is begun."""


class Verdict(Enum):
    """What came of a check."""

    PASS = "PASS"
    FAIL = "FAIL"
    SKIP = "SKIP"


@frozen
class Outcome:
    """A check that was made: its figure, or why there is none."""

    name: str
    verdict: Verdict
    text: str
    seconds: float = 0.0

    def line(self) -> str:
        """Return it in one line."""
        return f"{self.verdict.value}  {self.name} ({self.seconds:.1f} s): {' '.join(self.text.split())}"


@contextmanager
def bounded(limit: float) -> Iterator[None]:
    """
    Interrupt what takes longer, in the main thread.

    :raises CheckFailed: the time is over.
    """

    def interrupt(number: int, frame: object) -> None:
        raise CheckFailed(f"not over after {limit:.0f} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(name: str, check: Check, rig: Rig, seconds: Callable[[], float] = time.monotonic) -> Outcome:
    """Make one check; whatever it meets is its outcome, and the others go on."""
    begun = seconds()
    try:
        verdict, text = Verdict.PASS, check(rig)
    except NotTold as reason:
        verdict, text = Verdict.SKIP, str(reason)
    except (CheckFailed, TargetFailed) as reason:
        verdict, text = Verdict.FAIL, str(reason)
    except Exception as error:  # the vendor's library, the client and the server each have their own
        verdict, text = Verdict.FAIL, f"{type(error).__name__}: {error}"
    return Outcome(name, verdict, text, seconds() - begun)


def run(
    rig: Rig,
    checks: Mapping[str, Check],
    until: float,
    seconds: Callable[[], float] = time.monotonic,
) -> Iterator[Outcome]:
    """
    Make the checks in turn.

    :param until: when all must be over, by the clock ``seconds``; what cannot be begun in time has failed.
    """
    for name, check in checks.items():
        left = until - seconds()
        if left < SHORTEST:
            yield Outcome(name, Verdict.FAIL, "not made: the time is over")
            continue

        def in_time(asked: Rig, check: Check = check, limit: float = min(LONGEST, left)) -> str:
            with bounded(limit):
                return check(asked)

        yield judge(name, in_time, rig, seconds)


def summary(outcomes: Sequence[Outcome]) -> str:
    """Count the verdicts."""
    counts = (f"{sum(each.verdict is verdict for each in outcomes)} {verdict.value}" for verdict in Verdict)
    return ", ".join(counts)


def kill_children() -> None:
    """Kill what this process has started."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()


def give_up(
    seconds: float, kill: Callable[[], None] = kill_children, leave: Callable[[int], object] = os._exit
) -> None:
    """End this process and those that it has started, in the midst of what they do."""
    text = "a call of the driver or of a server has not returned"
    print(Outcome("the whole", Verdict.FAIL, text, seconds).line(), flush=True)
    kill()
    leave(1)


def check_all(server: GpuServer, device: Device, folder: Path, chosen: Mapping[str, Check]) -> list[Outcome]:
    """Make the checks with one server, and tell of each as soon as it is known."""
    until = time.monotonic() + MOST_SECONDS
    outcomes: list[Outcome] = []
    try:
        server.start()
        for outcome in run(Rig(server, device, folder), chosen, until):
            print(outcome.line(), flush=True)
            outcomes.append(outcome)
    except TargetFailed as reason:
        outcomes.append(Outcome("start of the server", Verdict.FAIL, str(reason)))
        print(outcomes[-1].line(), flush=True)
    finally:
        server.stop()
    return outcomes


def main() -> None:
    """Check what can be checked here."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_check", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="checks with these words in their names")
    options = parser.parse_args()
    chosen = {name: check for name, check in CHECKS.items() if options.only in name}
    if not chosen:
        parser.error(f"no check has {options.only!r} in its name")
    last = Timer(LAST_SECONDS, give_up, [LAST_SECONDS])
    last.daemon = True
    last.start()
    library = load_library()
    if library is None or not library.nvmlDeviceGetCount():
        print(NOTHING)
        return
    device = Device(library)
    print(f"{device.name}; {describe_machine()}")
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        server = make_server(Path(folder, "modelserver"))
        outcomes = check_all(server, device, Path(folder), chosen)
    print(summary(outcomes))
    sys.exit(1 if any(each.verdict is Verdict.FAIL for each in outcomes) else 0)


if __name__ == "__main__":
    main()
