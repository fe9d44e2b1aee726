"""Which servers take part: options shared by the programs of the bench, and starting what they name."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.servers import CopyingFloor, Floor, ModelServer, MultiModelServer, TorchServe
from bench.target import Target, TargetFailed

DEFAULT_LIMIT = 6_553_500
"""Bytes of a body that all three servers take by default."""


def add_arguments(parser: argparse.ArgumentParser, servers: str = "") -> None:
    """
    Add the options that name servers.

    :param servers: which take part by default, comma-separated; empty means all.
    """
    parser.add_argument("--torchserve", type=Path, help="virtual environment with TorchServe 0.12 and torch")
    parser.add_argument("--mms", type=Path, help="virtual environment with Multi Model Server 1.1.11")
    names = "modelserver,torchserve,mms,floor,copies"
    parser.add_argument("--servers", default=servers, help=f"comma-separated, of: {names}")
    parser.add_argument("--client", choices=("auto", "wrk", "sockets"), default="auto")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of modelserver"
    )
    parser.add_argument("--reactor", default="", help="a reactor for modelserver other than its own choice")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")


def limits_for(largest_body: int) -> dict[str, object]:
    """Settings without which a server refuses bodies of so many bytes; the same in all; none by default."""
    if largest_body <= DEFAULT_LIMIT:
        return {}
    return {"max_request_size": largest_body, "max_response_size": largest_body}


def own_server(
    options: argparse.Namespace, folder: Path, limits: Mapping[str, object] | None = None
) -> ModelServer:
    """The server of this checkout, as the options say."""
    settings: dict[str, object] = {**(limits or {}), **dict(pair.split("=", 1) for pair in options.set)}
    reactor = ("--reactor", options.reactor) if options.reactor else ()
    return ModelServer("modelserver", folder / "modelserver", settings=settings, options=reactor)


def choose_targets(
    options: argparse.Namespace, folder: Path, say: Callable[[str], None], largest_body: int = 0
) -> list[Target]:
    """
    The servers to run; one whose environment is not given or not there is named and left out.

    :param largest_body: bytes that requests and answers have at most.
    """
    limits = limits_for(largest_body)
    wanted = {name for name in options.servers.split(",") if name}
    found: list[tuple[str, Target]] = [("modelserver", own_server(options, folder, limits))]
    peers: tuple[tuple[str, Path | None, str, type[TorchServe] | type[MultiModelServer], str], ...] = (
        ("torchserve", options.torchserve, "torchserve", TorchServe, "TorchServe"),
        ("mms", options.mms, "multi-model-server", MultiModelServer, "MMS"),
    )
    for key, home, program, kind, name in peers:
        if wanted and key not in wanted:
            continue
        if home is None or not (home / "bin" / program).exists():
            say(f"{name}: no environment with {program} (--{key} PATH): skipped")
        elif shutil.which("java") is None:
            say(f"{name}: no java: skipped")
        else:
            found.append((key, kind(name, folder / key, home=home.resolve(), limits=limits)))
    found.append(("floor", Floor("floor", folder / "floor")))
    found.append(("copies", CopyingFloor("echo, 4 copies", folder / "copies")))
    return [target for key, target in found if not wanted or key in wanted]


def start_all(
    targets: Sequence[Target], stack: ExitStack, say: Callable[[str], None]
) -> list[tuple[Target, float]]:
    """
    Start the servers; one that fails is named and left out.

    :param stack: ends them.
    :returns: each with the seconds of its start.
    """
    started = []
    for target in targets:
        try:
            seconds = target.start()
        except TargetFailed as error:
            say(f"skipped: {error}")
            continue
        stack.callback(target.stop)
        say(f"{target.name} answers after {seconds:.2f} s")
        started.append((target, seconds))
    return started
