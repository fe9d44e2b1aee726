"""
``python -m bench.today --peers FOLDER``: this server beside those of today.

They are mosec, LitServe, BentoML, Ray Serve, KServe's Python server and MLServer, each in a virtual
environment of its own, in a folder of its name. Each is started for a case, warmed up, asked by the same
clients, and ended before the next one starts, so that none disturbs another.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

import modelserver
from bench.cases import CASES
from bench.selection import add_arguments, own_server
from bench.sheet import describe_machine, write_markdown
from bench.today.contest import OWN, Contender, Other, Own, Plan, contest
from bench.today.notes import CASES as COMPARED
from bench.today.notes import Entry, read_notes, sheets
from bench.today.peers import PEERS, find_home


def choose(options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Contender], list[Entry]]:
    """Return the servers that take part; a peer that is not installed is named and left out."""
    wanted = {name for name in options.servers.split(",") if name}
    contenders: list[Contender] = []
    entries = []
    if not wanted or OWN in wanted:
        contenders.append(Own(lambda folder: own_server(options, folder)))
        settings = "default settings, one worker, access log and metrics on"
        entries.append(Entry(OWN, modelserver.__version__, "raw bytes", settings))
    for peer in PEERS:
        if wanted and peer.key not in wanted:
            continue
        home = find_home(options.peers, peer)
        if home is None:
            say(f"{peer.name}: not installed in {options.peers / peer.key}: skipped")
            continue
        contenders.append(Other(peer, home))
        entries.append(Entry(peer.name, peer.version(home), peer.alone.name, peer.settings))
    return contenders, entries


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.today", description=__doc__)
    names = ",".join(COMPARED)
    parser.add_argument("--peers", type=Path, default=Path("/opt/peers"), help="folder of environments")
    parser.add_argument("--cases", default=names, help=f"comma-separated, of: {names}")
    parser.add_argument("--connections", default="8,64", help="comma-separated")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds of load after each start")
    parser.add_argument("--rounds", type=int, default=1, help="starts of each server for each case")
    parser.add_argument("--notes", type=Path, help="add the figures to this file; tables show medians of all")
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Run the comparison."""
    options = parse()
    console = Console(width=220)
    console.print(describe_machine())
    contenders, entries = choose(options, console.print)
    connections = [int(count) for count in options.connections.split(",")]
    plan = Plan(connections, options.seconds, options.warm_up, options.rounds, options.client)
    notes = read_notes(options.notes)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        for case in CASES:
            if case.name in options.cases.split(","):
                place = Path(folder)
                notes.add(entries, list(contest(case, contenders, plan, place, console.print)))
                if options.notes is not None:
                    notes.save(options.notes)
    found = sheets(notes)
    for sheet in found:
        sheet.show(console)
    if options.markdown:
        write_markdown(options.markdown, found)


if __name__ == "__main__":
    main()
