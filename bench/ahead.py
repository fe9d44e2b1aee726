"""
``python -m bench.ahead``: millions of short jobs, some of which stall, and each must be run exactly once.

The core and real worker processes, without HTTP: jobs are sent ahead, taken back when a call takes long, and
handed to whoever is free, while clients leave and workers are stopped for a moment in the middle of anything.
Each job has a byte in a file that the workers share; a run adds one. Ends with 1 if a byte is not what it
should be: 1, or for a job whose client left 0 or 1.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from attrs import define, evolve, field

from bench.handlers import stalls
from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.local import LocalBackend, open_ahead
from modelserver.backends.process import HostServices
from modelserver.backends.worker_process import LocalProcess
from modelserver.core.gpus import Devices
from modelserver.core.ids import WorkerNumbers
from modelserver.core.providers import CoreProviders
from modelserver.core.quarantine import Quarantine
from modelserver.core.version import ModelVersion, new_version
from modelserver.errors import ServingError
from modelserver.interfaces import WorkerEvents
from modelserver.jobs import Answer, Job, JobRequest
from modelserver.spec import WorkerSettings, WorkerSpec
from modelserver.testing.providers import CountingRecorder, make_spec
from modelserver.version_settings.values import WorkerStart

AT_ONCE = 200
"""Jobs that are on their way at a time."""
LEAVING = 0.002
"""The share of jobs whose client leaves."""
LONGEST_STOP, STOP_EVERY = 0.01, 0.05
"""Seconds that a worker is stopped for at most, and from one stop to the next."""


@define(eq=False)
class CountedProcess(LocalProcess):
    """A worker process of which is counted what was taken back from it."""

    taken_back: Counter[str] = field(kw_only=True)

    def take_back(self) -> int:
        """Take back, and count."""
        calls = super().take_back()
        self.taken_back["times"] += calls > 0
        self.taken_back["calls"] += calls
        return calls


@define(eq=False)
class CountedBackend(LocalBackend):
    """Starts such processes."""

    taken_back: Counter[str] = field(factory=Counter)

    def prepare(self, events: WorkerEvents, spec: WorkerSpec) -> LocalProcess:
        """Return a worker that is not launched yet."""
        ahead = open_ahead(spec)
        return CountedProcess(spec, self.machine, events=events, ahead=ahead, taken_back=self.taken_back)


@define(eq=False)
class Storm:
    """
    Keeps so many jobs on their way until all have been asked for; it is every job's observer.

    :param wrong: answers that are none, parts, and failures.
    :param left: the jobs whose clients have left.
    """

    version: ModelVersion
    clock: Any
    jobs: int
    asked: int = 0
    finished: int = 0
    wrong: Counter[str] = field(factory=Counter)
    left: set[int] = field(factory=set)
    _random: random.Random = field(factory=lambda: random.Random(13))

    def fill(self) -> None:
        """Ask for as many more as may be on their way."""
        pool = self.version.pool
        while self.asked < self.jobs and self.asked - self.finished < AT_ONCE:
            number, self.asked = self.asked, self.asked + 1
            request = JobRequest(bytes(16), b"", b"", b"%d" % number, 0, None, self.clock.seconds(), None)
            job = Job(request, self)
            pool.put(job)
            if self._random.random() < LEAVING:
                self.clock.callLater(self._random.random() * 0.005, self._leave, job, number)

    def _leave(self, job: Job, number: int) -> None:
        if not job.finished:
            self.left.add(number)
            job.withdraw()
            self._ended()

    def _ended(self) -> None:
        self.finished += 1
        if self.finished % 20 == 0 or self.asked == self.jobs:
            self.clock.callLater(0, self.fill)

    def completed(self, job: Job, answer: Answer) -> None:
        """Look at an answer."""
        if answer.body != b"ok":
            self.wrong["answers"] += 1
        self._ended()

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Count what nobody sends."""
        self.wrong["parts"] += len(parts)
        return True

    def failed(self, job: Job, error: ServingError) -> None:
        """Count a failure."""
        self.wrong[type(error).__name__] += 1
        self._ended()

    def stop_one(self) -> None:
        """Stop a worker in the middle of anything, for a moment."""
        pids = [worker.pid for worker in self.version.pool.workers if worker.pid is not None]
        if pids and self.finished < self.jobs:
            pid = self._random.choice(pids)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            self.clock.callLater(self._random.random() * LONGEST_STOP, self._go_on, pid)
            self.clock.callLater(STOP_EVERY, self.stop_one)

    def _go_on(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def misrun(self, runs: bytes) -> dict[int, int]:
        """Return the jobs that were not run as often as they should, and how often they were."""
        if runs.count(1) == len(runs):
            return {}
        return {
            job: count for job, count in enumerate(runs) if count != 1 and (count or job not in self.left)
        }


def new_storm(
    reactor: Any, file: Path, options: argparse.Namespace, lifeline: int, taken_back: Counter[str]
) -> Storm:
    """Return a storm over real workers, which are being started."""
    loop = getattr(reactor, "_asyncioEventloop", None) or ReactorLoop(reactor, reactor)
    environment = {**os.environ, stalls.FILE: str(file)}
    machine = HostServices(reactor, loop, reactor, lifeline, environment, time.time)
    providers = CoreProviders(
        backend=CountedBackend(machine, WorkerSettings(), taken_back),
        devices=Devices(0, Quarantine(reactor.seconds)),
        clock=reactor,
        now=time.time,
        next_worker_id=WorkerNumbers().take,
        call_soon=partial(reactor.callLater, 0),
        recorder=CountingRecorder(),
    )
    spec = evolve(
        make_spec("stalls", handler="stalls.py", job_queue_size=4 * AT_ONCE),
        folder=Path(stalls.__file__).parent,
        start=WorkerStart("spawn"),
    )
    version = new_version(spec, providers)
    version.pool.scale(options.workers, options.workers)
    return Storm(version, reactor, options.jobs)


def weather(reactor: Any, storm: Storm, seconds: float) -> None:
    """Run until all jobs have ended, or the time is over."""

    def look() -> None:
        if storm.finished >= storm.jobs or time.monotonic() > end:
            storm.version.pool.close(drain=5.0).addBoth(lambda _: reactor.stop())
        else:
            reactor.callLater(0.1, look)

    def begin(_: object) -> None:
        storm.fill()
        storm.stop_one()
        look()

    end = time.monotonic() + seconds
    storm.version.pool.when_settled().addCallback(begin)
    reactor.run()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.ahead", description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000_000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3600.0, help="at most; the rest is a failure")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the storm and count."""
    from twisted.internet import reactor

    options = parse()
    lifeline, taken_back = os.pipe(), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "runs"
        file.write_bytes(bytes(options.jobs))
        storm = new_storm(reactor, file, options, lifeline[0], taken_back)
        begun = time.monotonic()
        weather(reactor, storm, options.seconds)
        spent = time.monotonic() - begun
        with file.open("rb") as runs, mmap.mmap(runs.fileno(), 0, access=mmap.ACCESS_READ) as memory:
            misrun = storm.misrun(memory[:])
    never = sum(job not in storm.left for job in range(storm.asked)) - (storm.finished - len(storm.left))
    print(
        f"{storm.finished} jobs in {spent:.0f} s ({storm.finished / spent:.0f}/s), {len(storm.left)} left, "
        f"{taken_back['calls']} calls taken back in {taken_back['times']} times, "
        f"wrong: {dict(storm.wrong)}, without an end: {never}, not run as they should: {len(misrun)} "
        f"{dict(list(misrun.items())[:5])}"
    )
    sys.exit(bool(misrun or storm.wrong or never))


if __name__ == "__main__":
    main()
