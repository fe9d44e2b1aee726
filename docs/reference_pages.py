"""
The pages of the reference, made of the tables of the code itself: none can be out of date.

Sphinx's configuration writes them before each build; they are not in the repository.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from reference_calls import calls, environment, log_lines, open_inference

from modelserver import errors
from modelserver.cli.archivers import model_archiver
from modelserver.cli.launchers import multi_model_server, torchserve
from modelserver.cli.main import build_parser
from modelserver.config.table import KEYS
from modelserver.rest.dialects.mms import REFUSALS as MMS_REFUSALS
from modelserver.rest.dialects.refusals import Refusal
from modelserver.rest.dialects.torchserve import REFUSALS as TORCHSERVE_REFUSALS
from modelserver.rest.routes import ROUTES
from modelserver.rpc.methods import METHODS
from modelserver.tap import Options
from modelserver.version_settings.table import VERSION_SETTINGS
from tests.harness.compatibility_tables import (
    flags,
    grpc_methods,
    keys,
    own_metrics,
    peers_metrics,
    table,
    version_settings,
)
from tests.rest.dialects.test_torchserve_errors import REFUSALS as EXAMPLES

NOTE = "This page is made of the code's own tables when the documentation is built.\n\n"


def configuration() -> str:
    """Return every key of ``config.properties``."""
    return (
        "# Configuration keys\n\n"
        + NOTE
        + "A key is a line of `config.properties`, which `--ts-config` or `--mms-config` names. *here*: "
        "what is done with a key of a peer.\n\n## Keys of TorchServe and Multi Model Server\n\n"
        + keys(key for key in KEYS if key.peers)
        + "\n## Keys of this server\n\n"
        + keys(key for key in KEYS if not key.peers)
    )


def model_settings() -> str:
    """Return every setting of a version, where it is given, and what it means."""
    meanings = [
        (f"`{row.model_config or row.name}`", row.parameter.meaning if row.parameter else row.key.meaning)
        for row in VERSION_SETTINGS
        if row.parameter is not None or row.key is not None
    ]
    return (
        "# Settings of a model\n\n"
        + NOTE
        + "The place further left goes before the others.\n\n"
        + version_settings()
        + "\n## What they mean\n\n"
        + table(("setting", "meaning"), meanings)
    )


def rest_routes() -> str:
    """Return every route, with what it is for."""
    rows = [
        (
            f"`{' '.join(route.methods[:4])}{' …' if len(route.methods) > 4 else ''}`",
            f"`{route.path}`",
            " ".join(sorted(listener.value for listener in route.listeners)),
            ", ".join(route.dialects),
            route.access.name.lower(),
            route.description,
        )
        for route in ROUTES
    ]
    columns = ("methods", "path", "listeners", "dialects", "key", "what it does")
    return "# Routes\n\n" + NOTE + table(columns, rows)


def grpc() -> str:
    """Return every gRPC method."""
    return "# gRPC methods\n\n" + NOTE + grpc_methods(METHODS)


def metrics() -> str:
    """Return every metric."""
    return (
        "# Metrics\n\n"
        + NOTE
        + "## Of the peers\n\n"
        + peers_metrics()
        + "\n## Of this server\n\n"
        + own_metrics()
    )


def error_texts() -> str:
    """Return what each error is in both dialects."""
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.ServingError)
    ]
    rows = [
        (
            f"`{kind.__name__}`",
            (inspect.getdoc(kind) or "").splitlines()[0],
            _refusal(TORCHSERVE_REFUSALS, kind),
            _refusal(MMS_REFUSALS, kind),
        )
        for kind in sorted(kinds, key=lambda each: each.__name__)
    ]
    columns = ("error", "when", "TorchServe's status and type", "Multi Model Server's")
    return (
        "# Errors\n\n"
        + NOTE
        + table(columns, rows)
        + "\n## Texts\n\nAs `message` of an answer has them; names, numbers and reasons are examples.\n\n"
        + table(("error", "in TorchServe's dialect", "in Multi Model Server's"), dict.fromkeys(_texts()))
    )


def _texts() -> Iterator[tuple[str, str, str]]:
    """What each error says, of the examples that the tests have: an error without one fails them."""
    for error, *_ in sorted(EXAMPLES, key=lambda row: type(row[0]).__name__):
        theirs, others = _row(TORCHSERVE_REFUSALS, type(error)), _row(MMS_REFUSALS, type(error))
        yield f"`{type(error).__name__}`", theirs.message(error), others.message(error)


def _refusal(refusals: Mapping[type[errors.ServingError], Refusal], kind: type[errors.ServingError]) -> str:
    found = _row(refusals, kind)
    code = "as the error says" if callable(found.code) else str(found.code)
    return f"{code} {found.type}"


def _row(refusals: Mapping[type[errors.ServingError], Refusal], kind: type[errors.ServingError]) -> Refusal:
    return next(refusals[base] for base in kind.__mro__ if base in refusals)


def command_line() -> str:
    """Return every command with its options."""
    parts = ["# Commands\n\n", NOTE]
    for title, parser in _commands(build_parser(), "modelserver"):
        if title == "modelserver serve":
            parts.append(f"## {title}\n\nRuns the server, as `twistd -n modelserver` does.\n\n{serving()}\n")
            continue
        parts.append(
            f"## {title}\n\n{(parser.description or '').strip()}\n\n{_arguments(parser)}{flags(parser)}\n"
        )
    for title, module in (
        ("torchserve", torchserve),
        ("multi-model-server", multi_model_server),
        ("model-archiver", model_archiver),
    ):
        parts.append(f"## {title}\n\n{flags(module.build_parser())}\n")
    parts.append(
        "## torch-model-archiver, torch-workflow-archiver\n\n"
        "Their options are those of `modelserver archive pack` and `modelserver archive workflow`.\n"
    )
    return "".join(parts)


def serving() -> str:
    """Return the options of the server itself."""
    valued = [(f"`--{name}`", text) for name, _, _, text in Options.optParameters]
    plain = [(f"`--{name}`", text) for name, _, text in Options.optFlags]
    models = ("`--models`", (inspect.getdoc(Options.opt_models) or "").strip())
    return table(("option", "here"), [models, *valued, *plain])


def _arguments(parser: argparse.ArgumentParser) -> str:
    rows = [
        (f"`{action.metavar or action.dest.upper()}`", action.help or "")
        for action in parser._actions
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
    ]
    return table(("argument", ""), rows) + "\n" if rows else ""


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, inner in action.choices.items():
                yield from _commands(inner, f"{name} {word}")


PAGES: Mapping[str, Callable[[], str]] = {
    "commands": command_line,
    "configuration": configuration,
    "environment": environment,
    "errors": error_texts,
    "grpc-methods": grpc,
    "log-lines": log_lines,
    "metrics": metrics,
    "model-settings": model_settings,
    "open-inference": open_inference,
    "rest-mms": partial(calls, "mms", "Multi Model Server's dialect"),
    "rest-torchserve": partial(calls, "torchserve", "TorchServe's dialect"),
    "routes": rest_routes,
}


_LISTS = re.compile(
    r"^```\{toctree\}\n:caption: ([^\n]*)\n:maxdepth: 1\n\n(.*?)^```", re.MULTILINE | re.DOTALL
)


def write_list(docs: Path) -> None:
    """Write ``llms.txt``: what is said there, and a link to every page, in the order of the index."""
    parts = [(docs / "llms.txt").read_text("utf-8")]
    for caption, names in _LISTS.findall((docs / "index.md").read_text("utf-8")):
        parts.append(f"\n### {caption}\n\n")
        for name in names.split():
            title = (docs / f"{name}.md").read_text("utf-8").partition("\n")[0].removeprefix("# ")
            parts.append(f"- [{title}]({name}.html)\n")
    (docs / "reference" / "llms.txt").write_text("".join(parts), "utf-8")


def write(folder: Path) -> None:
    """Write all pages into a folder; one that is as it was is left alone, and not built again."""
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        file, text = folder / f"{name}.md", make()
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
