"""
Fetches handlers of public repositories, packs and serves each, sends it a request, and prints what came.

    python -m tests.corpus --folder DIR [--folder DIR] [--only NAME]

A folder holds mirrors of repositories as ``owner+name/repo``. Nothing of theirs stays: they are written into
a temporary folder that goes with the run. The environment needs what the handlers import: torch, torchvision,
transformers and so on; a handler whose modules are not there is told as such, and not counted as a failure.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from modelserver.archive.pack import PackRequest, pack
from modelserver.testing.replies import ModelReply
from tests.corpus.fetching import NotFetched, fetch
from tests.corpus.public_handler import Case, PublicHandler
from tests.corpus.public_handlers import HANDLERS
from tests.harness.server_process import ServerProcess

LONGEST_REASON = 110


@frozen
class Outcome:
    """What came of one handler; ``reason`` is empty where its answer was right."""

    handler: PublicHandler
    is_installed: bool = True
    is_loaded: bool = False
    is_answered: bool = False
    seconds: float = 0.0
    reason: str = ""


def main() -> int:
    """Run the corpus; 0 unless a handler whose modules are there failed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.corpus", description=(__doc__ or "").strip().splitlines()[0]
    )
    parser.add_argument(
        "--folder", type=Path, action="append", required=True, help="has mirrors: owner+name/repo"
    )
    parser.add_argument("--only", action="append", help="the name of a handler; may be given again")
    parser.add_argument("--log", action="store_true", help="print the server's log after a failure")
    options = parser.parse_args()
    wanted = [each for each in HANDLERS if not options.only or each.name in options.only]
    outcomes = []
    for outcome in serve_all(wanted, options.folder, options.log):
        outcomes.append(outcome)
        print(line(outcome), flush=True)
    installed = [each for each in outcomes if each.is_installed]
    right = [each for each in installed if not each.reason]
    print(
        f"handlers {len(outcomes)}, installed {len(installed)}, "
        f"loaded {sum(each.is_loaded for each in installed)}, "
        f"answered {sum(each.is_answered for each in installed)}, right {len(right)}"
    )
    return int(len(right) < len(installed))


def line(outcome: Outcome) -> str:
    """Return the row of the table for one handler."""
    marks = "".join(
        f"{'yes' if value else 'no':>6}"
        for value in (outcome.is_installed, outcome.is_loaded, outcome.is_answered)
    )
    handler = outcome.handler
    reason = " ".join((outcome.reason or handler.fault).split())[:LONGEST_REASON]
    row = f"{handler.name:26}{marks}{outcome.seconds:7.1f} s  {handler.repository}"
    return f"{row}: {reason}" if reason else row


def serve_all(wanted: Sequence[PublicHandler], mirrors: Sequence[Path], shows_log: bool) -> Iterator[Outcome]:
    """Serve each in turn, those that need the same server by the same."""
    for _, handlers in groupby(wanted, key=lambda each: each.server):
        group = list(handlers)
        with server(group[0], mirrors) as process:
            for each in group:
                yield serve(process, each, mirrors, shows_log)


@contextmanager
def server(wanted: PublicHandler, mirrors: Sequence[Path]) -> Iterator[ServerProcess]:
    """Run a server in a folder of its own; nothing that its handlers load may come from a network."""
    properties = {
        "disable_token_authorization": "true",
        "enable_model_api": "true",
        "dialect": wanted.dialect,
    }
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    with TemporaryDirectory(prefix="modelserver-corpus-") as folder:
        if wanted.metrics:
            with suppress(NotFetched):  # the handler's own files are asked for next, and tell why
                properties["metrics_config"] = str(*fetch(wanted, mirrors, Path(folder), [wanted.metrics]))
        process = ServerProcess(Path(folder), properties, environment={**offline, **wanted.environment})
        process.start()
        try:
            yield process
        finally:
            process.end()


def serve(
    process: ServerProcess, handler: PublicHandler, mirrors: Sequence[Path], shows_log: bool
) -> Outcome:
    """Fetch, make a model, pack, register, ask, unregister."""
    absent = [name for name in handler.needs if importlib.util.find_spec(name) is None]
    if absent:
        return Outcome(handler, is_installed=False, reason=f"not installed here: {', '.join(absent)}")
    folder = process.folder / handler.name
    folder.mkdir()
    started = time.monotonic()
    first = len(process.lines)
    try:
        files = fetch(handler, mirrors, folder)
    except NotFetched as error:
        return Outcome(handler, is_installed=False, reason=str(error))
    case = handler.make(folder)
    _forget(folder)
    pack(_request(handler, case, files, process.store))
    answer = process.register(f"{handler.name}.mar", response_timeout=120)
    outcome = Outcome(handler, reason=answer.text, seconds=time.monotonic() - started)
    if answer.status == 200:
        outcome = _ask(process, handler, case, started)
        process.management("DELETE", f"/models/{handler.name}")
    if outcome.reason and shows_log:
        print("".join(process.lines[first:]))
    return outcome


def _ask(process: ServerProcess, handler: PublicHandler, case: Case, started: float) -> Outcome:
    request = case.request
    path = f"/predictions/{handler.name}{request.query_string}"
    answer = process.inference("POST", path, request.body, request.all_headers)
    reply = ModelReply(answer.status, answer.body, answer.headers)
    is_right = (reply.is_ok or bool(handler.fault)) and _is_right(case, reply)
    reason = "" if is_right else f"{answer.status}: {answer.body[:300]!r}"
    seconds = time.monotonic() - started
    return Outcome(handler, is_loaded=True, is_answered=reply.is_ok, seconds=seconds, reason=reason)


def _is_right(case: Case, reply: ModelReply) -> bool:
    try:
        return case.is_right(reply)
    except (ValueError, KeyError, TypeError):  # it has another form than the right one
        return False


def _request(handler: PublicHandler, case: Case, files: Sequence[Path], store: Path) -> PackRequest:
    """Return what the archiver of the peers would be told."""
    _, separator, function = handler.handler.partition(":")
    config = None
    if case.config:
        config = files[0].parent / "model-config.yaml"
        config.write_text(case.config, "utf-8")
    beside = [file for file in files[1:] if file != case.model_file]
    return PackRequest(
        handler.name,
        "1.0",
        f"{files[0]}{separator}{function}",
        serialized_file=_named(case.serialized),
        model_file=_named(case.model_file),
        extra_files=tuple(map(str, dict.fromkeys([*beside, *case.extra]))),
        config_file=_named(config),
        export_path=store,
    )


def _named(file: Path | None) -> str | None:
    return None if file is None else str(file)


def _forget(folder: Path) -> None:
    """Let the next handler have a module of the same name."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{folder}/"):
            del sys.modules[name]


if __name__ == "__main__":
    sys.exit(main())
