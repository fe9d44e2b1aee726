"""
The state of the server as the page shows it: one JSON document, and what has changed in it since another.

Every number is one that is counted or sampled anyway; ``/metrics`` at the same instant has the same ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import field

from modelserver import __version__
from modelserver.devices import GpuMemory
from modelserver.language.attributes import define, frozen
from modelserver.logs.recent import RecentLine
from modelserver.metrics.figures import NOTHING, Figures
from modelserver.metrics.history import (
    KEPT,
    STEP,
    History,
    HistoryPoint,
    counts_of,
    grown,
    quantiles,
)
from modelserver.rest.dashboard.machine import MachineLimits, machine
from modelserver.spec import VersionDescription, WorkerDescription, WorkerPlace

COLUMNS = (
    *("name", "version", "is_default", "workflow", "minimum", "maximum", "waiting", "limit", "in_flight"),
    *("rate", "p50", "p95", "p99", "finished", "batch", "batch_size", "refused", "refusals"),
    *("restarts", "retries", "workers"),
)
"""What a row has, in order; ``refusals`` are those of the last minutes, whatever their cause."""
WORKER_COLUMNS = (
    *("id", "state", "pid", "memory", "gpu", "since", "restarts", "failure", "failed_at"),
    *("node", "placed", "gpu_memory"),
)
"""
What a worker has, in order; ``node`` is empty on this machine, ``placed`` why it is there, or nowhere.

``gpu_memory`` is as the driver tells, or else what the worker itself has reserved.
"""
LONGEST_FAILURE = 300
"""Characters of a failure in a row; the whole of it is in the details of the version."""

Json = dict[str, object]


@frozen(eq=False, kw_only=True)
class DashboardSources:
    """
    Where the page's numbers come from.

    :param versions: all versions of all models as they are now.
    :param figures: what was counted so far.
    :param lines: the lines of the log with higher numbers.
    :param now: seconds since the epoch.
    :param started: when the server was started, in seconds since the epoch.
    :param traits: what the page has to know of this server, whatever happens to it.
    """

    versions: Callable[[], Iterable[VersionDescription]]
    figures: Callable[[], Figures]
    history: History
    lines: Callable[[int], Sequence[RecentLine]]
    now: Callable[[], float]
    started: float = 0.0
    traits: Mapping[str, object] = field(factory=dict)


@define(eq=False)
class DashboardState:
    """
    What the page shows, at one instant.

    :param rows: each version's row, encoded, by its key.
    :param last_line: the number of the newest line of the log.
    :param noted: how many points for charts were kept.
    :param steps: the steps of the chart of all versions together, since the state before.
    """

    at: float
    server: Json
    machine: Json
    rows: Mapping[str, str]
    lines: Sequence[RecentLine]
    last_line: int
    noted: int
    steps: Sequence[Sequence[float | None]]


def take_state(
    sources: DashboardSources, limits: MachineLimits | None = None, after: DashboardState | None = None
) -> DashboardState:
    """
    Return the state of this instant.

    :param after: the state before; the lines of the log are those since then.
    """
    figures = sources.figures()
    view = _View(sources.history, figures)
    versions = list(sources.versions())
    rows = {key_of(each): encode(view.row(each)) for each in versions}
    last = 0 if after is None else after.last_line
    lines, noted = sources.lines(last), sources.history.noted
    return DashboardState(
        at=sources.now(),
        server={**view.server(versions), "started": sources.started, "release": __version__},
        machine=machine(figures, limits),
        rows=rows,
        lines=lines,
        last_line=lines[-1].number if lines else last,
        noted=noted,
        steps=() if after is None or after.noted == noted else chart(sources, None, noted - after.noted),
    )


def whole(state: DashboardState, sources: DashboardSources) -> bytes:
    """Return the document that a page begins with."""
    head: Json = {
        "at": state.at,
        "columns": COLUMNS,
        "worker_columns": WORKER_COLUMNS,
        "traits": sources.traits,
        "server": state.server,
        "machine": state.machine,
        "chart": chart(sources, None),
        "lines": _shown(sources.lines(0)),
    }
    return _with_rows(head, state.rows)


def change(state: DashboardState, before: DashboardState) -> bytes:
    """Return what a page that shows ``before`` has to change."""
    head: Json = {"at": state.at, "server": state.server}
    if state.machine != before.machine:
        head["machine"] = state.machine
    if state.steps:
        head["chart"] = state.steps
    if state.lines:
        head["lines"] = _shown(state.lines)
    gone = [key for key in before.rows if key not in state.rows]
    if gone:
        head["gone"] = gone
    return _with_rows(head, {key: row for key, row in state.rows.items() if before.rows.get(key) != row})


def chart(
    sources: DashboardSources, key: tuple[str, str] | None, last: int | None = None
) -> Sequence[Sequence[float | None]]:
    """
    Return steps of the last minutes: the time of each since the epoch, its rate, its quantiles.

    :param key: a model and its version; None: all together.
    :param last: how many steps, the newest ones; None: all.
    """
    history = sources.history
    epoch = sources.now() - history.clock.seconds()
    return [
        [round(epoch + step.at, 1), _rounded(step.rate), *map(_rounded, step.quantiles)]
        for step in history.chart(key, last)
    ]


def key_of(version: VersionDescription) -> str:
    """Return what tells a version from all others; names have no slash."""
    return f"{version.spec.name}/{version.spec.version}"


def encode(value: object) -> str:
    """Return compact JSON on one line."""
    return json.dumps(value, separators=(",", ":"))


def _with_rows(head: Json, rows: Mapping[str, str]) -> bytes:
    """Return an object with one more member: the rows, which are encoded already."""
    members = ",".join(f"{encode(key)}:{row}" for key, row in rows.items())
    return f'{encode(head)[:-1]},"models":{{{members}}}}}'.encode()


def _shown(lines: Iterable[RecentLine]) -> Sequence[Sequence[object]]:
    return [[line.number, round(line.at, 3), line.level, line.source, line.text] for line in lines]


def _rounded(value: float | None) -> float | None:
    """Return a number with as many digits as anybody reads."""
    return None if value is None else float(f"{value:.4g}")


@define(eq=False)
class _View:
    """Reads the numbers of one instant, and of the windows that end with it."""

    history: History
    figures: Figures
    point: HistoryPoint = field(init=False)
    recent: HistoryPoint | None = field(init=False)
    minutes: HistoryPoint | None = field(init=False)
    refused: dict[str, dict[str, int]] = field(factory=dict, init=False)
    refusals: dict[str, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.point = self.history.point(self.figures)
        self.recent = self.history.back(STEP)
        self.minutes = self.history.back(KEPT)
        before: Mapping[tuple[str, str], int] = {} if self.minutes is None else self.minutes.refusals
        for (model, cause), count in self.figures.refusals.items():
            self.refused.setdefault(model, {})[cause] = count
            since = count - before.get((model, cause), 0)
            self.refusals[model] = self.refusals.get(model, 0) + (since if since >= 0 else count)

    def times(self, key: tuple[str, str] | None) -> tuple[float | None, ...]:
        """Return requests a second of the last seconds, and the quantiles of the last minutes."""
        now = counts_of(self.point, key)
        rate = 0.0
        if self.recent is not None and self.point.at > self.recent.at:
            rate = sum(grown(now, counts_of(self.recent, key))) / (self.point.at - self.recent.at)
        window = grown(now, counts_of(self.minutes, key))
        return tuple(map(_rounded, (rate, *quantiles(window))))

    def row(self, version: VersionDescription) -> Sequence[object]:
        """Return the values of ``COLUMNS``."""
        spec = version.spec
        counted = self.figures.versions.get((spec.name, spec.version), NOTHING)
        batches = sum(counted.batches)
        return (
            *(spec.name, spec.version, version.is_default, spec.workflow),
            *(spec.workers.minimum, spec.workers.maximum),
            *(version.waiting, spec.queue.jobs, version.in_flight),
            *self.times((spec.name, spec.version)),
            sum(counted.requests),
            _rounded(counted.batched / batches) if batches else None,
            spec.batching.size,
            self.refused.get(spec.name, {}),
            self.refusals.get(spec.name, 0),
            *(counted.restarts, counted.retries),
            [self.worker(worker) for worker in version.workers],
        )

    def worker(self, worker: WorkerDescription) -> Sequence[object]:
        """Return the values of ``WORKER_COLUMNS``."""
        failure, place = worker.failure, worker.place or WorkerPlace()
        return (
            *(worker.id, worker.state.value, worker.pid or place.pid),
            worker.memory or self.figures.memory.get(worker.pid or 0, 0),
            *(worker.gpu_id, worker.started, worker.restarts),
            None if failure is None else str(failure)[:LONGEST_FAILURE],
            None if failure is None else failure.at,
            " ".join(filter(None, (place.node, place.address))),
            "; ".join(filter(None, (place.reason, f"group {place.group}" if place.group else ""))),
            self.figures.gpu_memory.get(worker.pid or 0, (worker.gpu_memory or GpuMemory()).used),
        )

    def server(self, versions: Sequence[VersionDescription]) -> Json:
        """Return the numbers of the server as a whole."""
        rate, p50, p95, p99 = self.times(None)
        return {
            "rate": rate,
            "p50": p50,
            "p95": p95,
            "p99": p99,
            "waiting": sum(each.waiting for each in versions),
            "in_flight": sum(each.in_flight for each in versions),
            "finished": sum(sum(each.requests) for each in self.figures.versions.values()),
            "answers": {str(code): count for code, count in sorted(self.figures.answers.items())},
            "calls": self.figures.calls,
            "refused": self.refused.get("", {}),
        }
