"""Runs the cases: every point on each server in turn, within the same minute."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import define, frozen

from bench.cases import Case, Point
from bench.limits import loop_class
from bench.load import Figures, Load, put
from bench.target import Deployment, Target, TargetFailed

LOOP = "bare loop"
"""Stands for a server in rows: the handler in a loop in one process."""


@frozen
class Row:
    """One server at one point of a case."""

    case: str
    target: str
    workers: int
    connections: int
    figures: Figures


@frozen
class Plan:
    """
    How long and how often.

    :param seconds: of each measurement.
    :param warm_seconds: of the load before the first measurement of a case.
    :param rounds: measurements of each point; the one with the median rate is kept.
    :param client: ``auto``, ``wrk`` or ``sockets``.
    """

    seconds: int = 4
    warm_seconds: int = 2
    rounds: int = 1
    client: str = "auto"


@define
class Runner:
    """
    Runs cases on servers that are started already.

    :param folder: for request bodies.
    :param say: told what is being done, one line at a time.
    """

    targets: Sequence[Target]
    plan: Plan
    folder: Path
    say: Callable[[str], None]

    def warm_up(self, seconds: int) -> None:
        """Let each server compile its hot path (the JVMs need it): a noop under load for so many seconds."""
        case = Case("warm", "warm-up", "noop", (), body=100, length=2)
        for target in self.targets:
            with self._deployed(target, case, 1) as served:
                if served:
                    self.say(f"warming up {target.name} for {seconds} s")
                    self._put(target, case, 64, seconds)

    def run(self, case: Case, points: Sequence[Point]) -> Iterator[Row]:
        """Measure a case; rows come as they are ready."""
        workers = min(point.workers for point in points)
        targets = [target for target in self.targets if self._deploy(target, case, workers)]
        try:
            for target in targets:
                self._put(target, case, points[-1].connections, self.plan.warm_seconds)
            for point in points:
                if point.workers != workers:
                    workers = point.workers
                    for target in targets:
                        target.scale(case.name, workers)
                yield from self._measure(targets, case, point)
        finally:
            for target in targets:
                self._withdraw(target, case)

    def _measure(self, targets: Sequence[Target], case: Case, point: Point) -> Iterator[Row]:
        self.say(f"{case.title}: {point.workers} workers, {point.connections} connections")
        found: dict[str, list[Figures]] = {target.name: [] for target in targets}
        loops: list[Figures] = []
        for _ in range(self.plan.rounds):
            for target in targets:
                found[target.name].append(self._put(target, case, point.connections, self.plan.seconds))
            if case.computes:
                loops.append(self._loop(case))
        for name, figures in found.items():
            yield Row(case.name, name, point.workers, point.connections, middle(figures))
        if loops:
            yield Row(case.name, LOOP, 1, point.connections, middle(loops))

    def _loop(self, case: Case) -> Figures:
        """The handler without a server; one process, whatever the point's workers."""
        average = os.getloadavg()[0]
        rate = loop_class(case, self.plan.seconds)
        batch = case.batch_size / rate if rate else 0.0
        return Figures(rate, batch, batch, 1 / rate if rate else 0.0, 0.0, 0, 0, "", average, "-")

    def _put(self, target: Target, case: Case, connections: int, seconds: int) -> Figures:
        path = f"/predictions/{case.name}" if case.handler else "/ping"
        body = case.write_body(self.folder)
        load = Load(target.port, path, body, connections, seconds, case.length, case.every, case.slow_every)
        return put(load, target.tree, self.plan.client)

    def _deploy(self, target: Target, case: Case, workers: int) -> bool:
        if not target.can_serve(case.handler):
            if target.is_server:
                self.say(f"{target.name} has nothing to run {case.handler} with: skipped")
            return False
        if case.handler:
            try:
                target.register(deployment(case, workers))
            except TargetFailed as error:
                self.say(f"skipped: {error}")
                return False
        return True

    def _withdraw(self, target: Target, case: Case) -> None:
        """Unregister; a server that fails at it is named, for what follows can still be measured."""
        if case.handler:
            try:
                target.unregister(case.name)
            except TargetFailed as error:
                self.say(f"not unregistered: {error}")

    @contextmanager
    def _deployed(self, target: Target, case: Case, workers: int) -> Iterator[bool]:
        served = self._deploy(target, case, workers)
        try:
            yield served
        finally:
            if served:
                self._withdraw(target, case)


def deployment(case: Case, workers: int) -> Deployment:
    """How a case is registered."""
    return Deployment(
        name=case.name,
        handler=case.handler,
        workers=workers,
        batch_size=case.batch_size,
        max_batch_delay=case.max_batch_delay,
    )


def middle(figures: Sequence[Figures]) -> Figures:
    """The measurement with the median rate (the lower one of two)."""
    rate = statistics.median_low(one.rate for one in figures)
    return next(one for one in figures if one.rate == rate)
