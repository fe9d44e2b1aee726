"""Who reads the time of day, which corrections move: only what shows it. All else has a monotonic clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import modelserver

PACKAGE = Path(modelserver.__file__).parent
SHOWN = {
    "archive/pack.py": "when an archive was made, in its manifest",
    "archive/pack_workflow.py": "when an archive was made, in its manifest",
    "child/metrics/mms.py": "when a metric was emitted, in its log line",
    "child/metrics/torchserve.py": "the same",
    "child/metrics/unowned.py": "the same",
    "compat/model_archiver/manifest_components/manifest.py": "when an archive was made",
    "compat/workflow_archiver/manifest_components/manifest.py": "the same",
    "server/build.py": "failures of workers, snapshots, and what key files say of their end",
    "server/cluster.py": "the validity of the certificate of a run",
    "server/dashboard.py": "when the server started, and when what is shown was so",
    "server/telemetry.py": "log lines and metrics",
    "server/tls/context.py": "the validity of a certificate that the server signs",
    "server/tracing.py": "when spans began and ended",
}
"""The modules, and what they show."""
_READERS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}


def _reads(source: str) -> Iterator[int]:
    """The lines of a module that name a function of the time of day."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in _READERS:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (node.lineno for name in node.names if name.name in ("time", "time_ns"))


def test_only_what_shows_the_time_of_day_reads_it() -> None:
    """A new module in this list has to show the time; one that measures takes a clock."""
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(_reads(path.read_text("utf-8")))
    }
    assert found == set(SHOWN)
