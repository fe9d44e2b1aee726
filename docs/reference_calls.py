"""Pages of the reference about calls, log lines and the environment; ``reference_pages`` writes them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import modelserver
from modelserver.config.table import KEYS
from modelserver.dialect_rules import DIALECTS
from modelserver.management.call_parameters import Parameter
from modelserver.rest.route import Access, Route
from modelserver.rest.routes import ROUTES
from tests.harness.compatibility_tables import table

NOTE = "This page is made of the code's own tables when the documentation is built.\n\n"
PACKAGE = Path(modelserver.__file__).parent
LEVELS = ("critical", "error", "warn", "info")

OTHER_VARIABLES = (
    ("LOG_LOCATION", "the server's log files: folder, `logs` of the working directory by default"),
    ("METRICS_LOCATION", "likewise for the files of metrics"),
    ("TEMP", "folder of temporary files, before `TMPDIR`; as of the peers' launchers"),
    ("NUM_WORKERS", "Multi Model Server: workers of each model, where `default_workers_per_model` is 0"),
    ("CUDA_VISIBLE_DEVICES", "which GPUs there are; workers get the one that they are to use"),
    ("TS_TOKEN_FILE", "`modelserver models` and the other client commands: the file with the token"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "where traces go; with it, they are on ([traces](../tracing.md))"),
    ("OTEL_SERVICE_NAME", "the server's name in traces"),
    ("OTEL_RESOURCE_ATTRIBUTES", "further attributes of the server in traces"),
    ("MODELSERVER_TRACEBACK_LOCALS", "`1`: tracebacks of handlers show code and variables, as under `dev`"),
    ("MODELSERVER_TERMINAL", "the terminal that a worker is to have, for `breakpoint()`"),
)  # fmt: skip
"""Variables that no key stands for."""


def environment() -> str:
    """Return the variables that the server and its commands read."""
    prefixes = ", ".join(f"`{rules.variable_prefix}`" for rules in DIALECTS.values())
    rows = [
        (f"`{key.name}`", *(f"`{key.variable_name(name) or ''}`" for name in sorted(DIALECTS)))
        for key in sorted(KEYS, key=lambda each: each.name)
        if key.variable_name("torchserve")
    ]
    return (
        "# Environment variables\n\n"
        + NOTE
        + "## Of keys of the configuration\n\n"
        + f"Prefixes are {prefixes}, by dialect. A variable counts with `enable_envvars_config=true`; "
        "some always. What the keys mean is in [](configuration.md).\n\n"
        + table(("key", *(f"in {name}'s dialect" for name in sorted(DIALECTS))), rows)
        + "\n## Others\n\n"
        + table(("variable", "what it is for"), [(f"`{name}`", text) for name, text in OTHER_VARIABLES])
    )


def calls(dialect: str, title: str) -> str:
    """Return every call of one dialect, with its parameters."""
    return f"# REST: {title}\n\n" + NOTE + _described(_of(dialect), dialect)


def open_inference() -> str:
    """Return the calls of the Open Inference Protocol and of its first version."""
    begin = (
        "Bodies are the protocol's own; the envelope `kservev2` (`kserve` for version 1) opens them for the "
        "handler. gRPC has the same service: [](../grpc.md).\n\n"
    )
    routes = [route for route in _of("torchserve") if route.path.startswith(("/v1", "/v2"))]
    return "# REST: Open Inference Protocol\n\n" + NOTE + begin + _described(routes, "torchserve")


def _of(dialect: str) -> list[Route]:
    return [
        route
        for route in ROUTES
        if dialect in route.dialects and not route.is_private and route.methods != ("OPTIONS",)
    ]


def _described(routes: Iterable[Route], dialect: str) -> str:
    return "".join(_call(route, dialect) for route in routes)


def _call(route: Route, dialect: str) -> str:
    own = [each for each in route.parameters if dialect in each.dialects]
    listeners = ", ".join(sorted(listener.value for listener in route.listeners))
    key = "" if route.access is Access.OPEN else f"; where tokens are on, the {route.access.name.lower()} key"
    answers = ", ".join(f"{code} `{kind}`" for code, kind in route.answers.items())
    refusals = ", ".join(map(str, route.refusals))
    feature = f"; feature: {route.feature}" if route.feature else ""
    parts = [
        f"## `{' '.join(route.methods)}` `{route.path}`\n\n",
        f"{route.description}\n\n",
        f"Listener: {listeners}{key}{feature}. Answers: {answers or 'what the handler answers'}",
        f"; refusals: {refusals}.\n\n" if refusals else ".\n\n",
    ]
    if own:
        rows = [(f"`{each.name}`", each.kind, _default(each), each.description) for each in own]
        parts.append(table(("parameter", "kind", "default", "meaning"), rows) + "\n")
    return "".join(parts)


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "required"
    if parameter.default is None:
        return ""
    text = str(parameter.default)
    return f"`{text.lower() if isinstance(parameter.default, bool) else text}`" if text else ""


def log_lines() -> str:
    """Return the lines that the server logs, by level, as the source has them."""
    parts = [
        "# Log lines\n\n",
        NOTE,
        "Words in braces stand for what differs. Lines of level DEBUG are not here; the phrases that alerts "
        "for the peers look for are in [](../compatibility-logs.md).\n",
    ]
    found = sorted(set(_lines()))
    for level in LEVELS:
        rows = [(f"`{text}`", f"`{module}`") for own, text, module in found if own == level]
        if rows:
            parts.append(f"\n## {level.upper()}\n\n" + table(("line", "module"), rows))
    return "".join(parts)


def _lines() -> Iterator[tuple[str, str, str]]:
    """Each call of a logger with a text: level, text, module."""
    for file in sorted(PACKAGE.rglob("*.py")):
        module = ".".join(("modelserver", *file.relative_to(PACKAGE).with_suffix("").parts))
        if module.startswith(("modelserver.compat", "modelserver.child", "modelserver.testing")):
            continue  # these run in workers, or in tests
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                level, of, text = node.func.attr, node.func.value, node.args[0]
                is_logger = isinstance(of, (ast.Name, ast.Attribute)) and "log" in ast.unparse(of).lower()
                if (
                    is_logger
                    and level in LEVELS
                    and isinstance(text, ast.Constant)
                    and isinstance(text.value, str)
                ):
                    yield level, text.value.replace("|", "\\|").replace("\n", " "), module
