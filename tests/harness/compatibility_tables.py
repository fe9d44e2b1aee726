"""
The tables of ``docs/compatibility.md``, made of what the code says.

``python -m tests.harness.compatibility_tables`` writes them into the document,
and a test fails when that was forgotten.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from modelserver.cli.launchers import multi_model_server, torchserve
from modelserver.config.keys import ConfigurationKey
from modelserver.config.table import KEYS
from modelserver.metrics.declaration_files import load
from modelserver.metrics.host_sampler import Sample
from modelserver.metrics.modelserver_metrics import ModelServerMetrics
from modelserver.metrics.tallies import RequestTallies
from modelserver.metrics.workflow_metrics import WorkflowMetrics
from modelserver.rest.route import Access, Route
from modelserver.rest.routes import ROUTES
from modelserver.rpc.methods import METHODS, MethodRow
from modelserver.version_settings.table import VERSION_SETTINGS

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"

LOG_FILES = (
    ("ts_log.log", "mms_log.log", "The server's own lines, and a copy of the others."),
    ("access_log.log", "access_log.log", "One line for each request that was answered."),
    ("model_log.log", "model_log.log", "What workers write to standard output and error."),
    ("ts_metrics.log", "mms_metrics.log", "The server's metrics, with metrics_mode=log."),
    ("model_metrics.log", "model_metrics.log", "Metrics of handlers, with metrics_mode=log."),
)
"""TorchServe's name, Multi Model Server's, and what is in it."""

_DOES: dict[str, str] = {
    "implemented": "works",
    "ours": "new",
    "accepted": "ignored",
    "unsupported": "not supported",
}
_ACCESS: dict[Access, str] = {
    Access.OPEN: "none",
    Access.INFERENCE: "inference",
    Access.MANAGEMENT: "management",
    Access.API_KEY: "API",
}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *([_cell(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def keys(wanted: Iterable[ConfigurationKey]) -> str:
    """What each key of ``config.properties`` does."""
    rows = []
    for key in sorted(wanted, key=lambda each: each.name):
        does = _DOES[key.status] + (f": {key.reason}" if key.reason else "")
        rows.append((_code(key.name), " ".join(key.peers), _code(key.default or ""), does, key.meaning))
    return table(("key", "peer", "default", "here", "meaning"), rows)


def version_settings() -> str:
    """Where each setting of a version is given, the more important place first, and its default."""
    rows = [
        (
            _code(row.parameter.name if row.parameter is not None else ""),
            _code(row.model_config),
            _code(row.models_json),
            _code(row.key.name if row.key is not None else ""),
            _code(row.default_text()),
            row.unit.value,
        )
        for row in VERSION_SETTINGS
    ]
    return table(
        ("registration", "model-config.yaml", "`models` JSON", "config.properties", "default", "unit"), rows
    )


def flags(parser: argparse.ArgumentParser) -> str:
    """What each option of a command does."""
    rows = [
        (", ".join(map(_code, action.option_strings)), _sentence(action.help or ""))
        for action in parser._actions
        if action.option_strings
    ]
    return table(("option", "here"), rows)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def peers_metrics() -> str:
    """The peers' metrics."""
    declared = load()
    rows = [
        (_code(each.name), each.kind, each.unit, ", ".join(each.dimensions), of)
        for of, group in (("server", declared.server), ("handlers", declared.model))
        for each in group
    ]
    return table(("metric", "type", "unit", "dimensions", "of"), rows)


def own_metrics() -> str:
    """The metrics that the peers do not have."""
    exposed = (*ModelServerMetrics().exposed(RequestTallies(), (), Sample()), *WorkflowMetrics().exposed())
    rows = [
        (
            _code(each.family.declaration.name),
            each.family.declaration.kind,
            ", ".join(each.family.declaration.dimensions),
            each.help,
        )
        for each in exposed
    ]
    return table(("metric", "type", "labels", "meaning"), sorted(rows))


def routes(wanted: Iterable[Route]) -> str:
    """Which key each route asks for where tokens are on."""
    rows = [
        (
            _code(" ".join(route.methods)),
            _code(route.path),
            " ".join(sorted(listener.value for listener in route.listeners)),
            _ACCESS[route.access],
        )
        for route in wanted
    ]
    return table(("methods", "path", "listener", "key"), rows)


def grpc_methods(wanted: Iterable[MethodRow]) -> str:
    """Which key each gRPC method asks for where tokens are on."""
    rows = [(_code(row.path), " ".join(row.sides), row.key_kind or "none", row.description) for row in wanted]
    return table(("method", "listener", "key", "what it does"), rows)


def tables() -> dict[str, str]:
    """Every table, by the name that it has in the document."""
    return {
        "peers' keys": keys(key for key in KEYS if key.peers),
        "own keys": keys(key for key in KEYS if not key.peers),
        "settings of a version": version_settings(),
        "torchserve": flags(torchserve.build_parser()),
        "multi-model-server": flags(multi_model_server.build_parser()),
        "peers' metrics": peers_metrics(),
        "own metrics": own_metrics(),
        "logs": table(
            ("TorchServe's dialect", "Multi Model Server's", "what is in it"),
            ((_code(first), _code(second), text) for first, second, text in LOG_FILES),
        ),
        "routes": routes(ROUTES),
        "gRPC methods": grpc_methods(METHODS),
    }


def filled(document: str) -> str:
    """
    The document with its tables as they have to be.

    :raises LookupError: it lacks one.
    """
    for name, text in tables().items():
        pattern = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
        document, count = re.subn(
            pattern,
            lambda found, text=text: found[1] + text + found[2],  # type: ignore[misc]  # it has defaults
            document,
            flags=re.DOTALL,
        )
        if count != 1:
            raise LookupError(f"the document has {count} tables of the name {name}")
    return document


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text("utf-8")), "utf-8")
