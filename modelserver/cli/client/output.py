"""Tables of a server's answers. Their texts are escaped, never read as markup."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

Description = Mapping[str, Any]
"""One version, as the management API describes it, in either dialect."""

_STYLES: Mapping[str, str] = {"READY": "green", "LOADING": "yellow", "UNLOADING": "dim"}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_WORKER_COLUMNS = (
    "model",
    "version",
    "worker",
    "state",
    "pid",
    "memory",
    "since (UTC)",
    "GPU",
    "restarts",
    "node",
    "placement",
    "last failure",
)
_LONG = ("", "archive", "graph", "runs", "model", "GPU", "placement", "last failure")
_OPTIONAL = ("pid", "GPU", "restarts", "node", "placement", "last failure")
_LIMITS = (
    ("minWorkers", "least workers"),
    ("maxWorkers", "most workers"),
    ("batchSize", "batch size"),
    ("maxBatchDelay", "batch delay, ms"),
    ("responseTimeout", "response timeout, s"),
    ("startupTimeout", "startup timeout, s"),
    ("deviceType", "device"),
    ("runtime", "runtime"),
    ("loadedAtStartup", "loaded at startup"),
)


_ADVISED = (
    ("batch_size", "batch size"),
    ("max_batch_delay", "batch delay, ms"),
    ("workers", "workers"),
    ("requestsPerSecond", "requests/s"),
    ("p99Milliseconds", "p99, ms"),
)


def models_table(versions: Iterable[Description]) -> Table:
    """Return a table with the default version of each model."""
    table = _table("Models", "model", "version", "workers", "archive")
    for version in versions:
        ready = sum(worker.get("status") == "READY" for worker in version.get("workers", ()))
        least = version.get("minWorkers", 0)
        style = "green" if ready >= least else "yellow" if ready else "red"
        table.add_row(
            _text(version.get("modelName")),
            _text(version.get("modelVersion")),
            Text(f"{ready}/{least}", style),
            _text(version.get("modelUrl")),
        )
    return table


def version_table(version: Description) -> Table:
    """Return a table of the settings of one version."""
    table = _table(_title(version), "", "")
    table.show_header = False
    table.add_row("archive", _text(version.get("modelUrl")))
    for key, label in _LIMITS:
        if key in version:
            table.add_row(label, _text(version[key]))
    last = version.get("lastDecision")
    if "wantedWorkers" in version:
        table.add_row("wanted workers", _text(version["wantedWorkers"]))
    if isinstance(last, Mapping):
        table.add_row("decided last", _text(f"{last.get('workers')} at {last.get('at')}: {last.get('text')}"))
    queue = version.get("jobQueueStatus")
    if isinstance(queue, Mapping):
        table.add_row("waiting requests", _text(queue.get("pendingRequests")))
    return table


def workflows_table(workflows: Iterable[Description]) -> Table:
    """Return a table with a row for each version of a workflow."""
    table = _table("Workflows", "workflow", "version", "graph", "archive")
    for workflow in workflows:
        table.add_row(
            _text(workflow.get("workflowName")),
            _text(workflow.get("workflowVersion")),
            _text(workflow.get("workflowDag")),
            _text(workflow.get("workflowUrl")),
        )
    return table


def nodes_table(workflow: Description) -> Table:
    """Return a table with a row for each node of a workflow."""
    table = _table("Nodes", "node", "model", "version", "runs", "retries", "timeout, ms")
    for node in workflow.get("nodes", ()):
        runs = f"function {node['function']}" if "function" in node else node.get("url")
        table.add_row(
            _text(node.get("name")),
            _text(node.get("modelName")),
            _text(node.get("modelVersion")),
            _text(runs),
            _text(node.get("retryAttempts")),
            _text(node.get("timeoutMs")),
        )
    return table


def workers_table(versions: Sequence[Description]) -> Table:
    """Return a table with a row for each worker; columns that would be empty in every row are left out."""
    rows = [_worker_row(version, worker) for version in versions for worker in version.get("workers", ())]
    columns = [name for name in _WORKER_COLUMNS if name not in _OPTIONAL or any(row[name] for row in rows)]
    table = _table("Workers", *columns)
    for row in rows:
        table.add_row(*(Text(row[name], _STYLES.get(row[name], "")) for name in columns))
    return table


def _worker_row(version: Description, worker: Mapping[str, Any]) -> dict[str, str]:
    failure = worker.get("lastFailure")
    place = worker.get("placement")
    place = place if isinstance(place, Mapping) else {}
    started = str(worker.get("startTime", ""))
    values = (
        version.get("modelName"),
        version.get("modelVersion"),
        worker.get("id"),
        worker.get("status"),
        worker.get("pid"),
        size(worker.get("memoryUsage", 0)),
        started.partition(".")[0].replace("T", " "),
        worker.get("gpuUsage") if worker.get("gpu") else "",
        worker.get("restarts", ""),
        " ".join(str(place[key]) for key in ("node", "address") if place.get(key)),
        _placement(place),
        f"{failure.get('type', '')}: {failure.get('text', '')}" if isinstance(failure, Mapping) else "",
    )
    texts = ("" if value is None else str(value) for value in values)
    return dict(zip(_WORKER_COLUMNS, texts, strict=True))


def _placement(place: Mapping[str, Any]) -> str:
    """Return why a worker is on its node, or has none, and what holds its share."""
    told = [str(place.get("reason") or "")]
    if group := place.get("placementGroup"):
        told.append(f"group {str(group)[:12]}")
    if place.get("suspect"):
        told.insert(0, "suspect: nothing is heard of its node")
    return "; ".join(filter(None, told))


def advice_tables(advice: Description) -> Sequence[Table]:
    """Return what is recommended, beside what is set, and why."""
    table = _table(f"{_title(advice)}: {advice.get('verdict')}", "", "now", "recommended")
    current, recommended = advice.get("current", {}), advice.get("recommended", {})
    for key, name in _ADVISED:
        table.add_row(name, _text(current.get(key)), _text(recommended.get(key)))
    gain = advice.get("gain")
    facts = [
        advice.get("reason"),
        None if not gain else f"gain: {100 * gain:.0f} %, confidence: {advice.get('confidence')}",
        *advice.get("notes", ()),
    ]
    why = Table.grid()
    why.add_row(Text("\n".join(str(fact) for fact in facts if fact)))
    return [table, why]


def size(count: object) -> str:
    """Return a number of bytes as text with a unit."""
    number = float(count) if isinstance(count, int) else 0.0
    for unit in _UNITS:
        if number < 1024 or unit == _UNITS[-1]:
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def _title(version: Description) -> str:
    return f"{version.get('modelName')} {version.get('modelVersion', '')}".strip()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, "bold"), title_justify="left", expand=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _LONG)
    return table


def _text(value: object) -> Text:
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return Text("" if value is None else str(value))
