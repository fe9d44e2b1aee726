"""``modelserver quickstart``: a real server with a real model reads ten handwritten digits."""

from __future__ import annotations

import argparse
import http.client
import json
import shlex
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from modelserver.archive.pack import PackRequest, pack
from modelserver.archive.packing import PackingFailed
from modelserver.cli.client.http import Ask, Client, ServerReply
from modelserver.cli.local_server import (
    HOST,
    ChildServer,
    Ports,
    ServerFailed,
    first_port,
    ports_from,
    write_options,
)
from modelserver.language.attributes import frozen

MODEL = "digits"
ENOUGH = 9
"""How many of the ten digits must be read right."""

METRICS = "metrics_mode=prometheus\n"

START_SECONDS = 60.0
REGISTER_SECONDS = 180.0
"""Longer than the server's own limit for loading a model, so that its reason is seen."""


@frozen
class DigitPrediction:
    """The prediction for one picture."""

    picture: str
    expected: int
    predicted: int
    probability: float

    @property
    def is_right(self) -> bool:
        """Return whether the model read the digit that the picture shows."""
        return self.expected == self.predicted


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``quickstart`` and its options."""
    parser = subparsers.add_parser(
        "quickstart", help="serve the packaged example, and read ten digits with it"
    )
    parser.add_argument("--once", action="store_true", help="stop after the ten digits")
    parser.add_argument(
        "--port",
        type=first_port,
        default=8080,
        help="for predictions; management has the next one, metrics the one after that (default: 8080). "
        "Another free port is used for each that is taken, and for all with 0.",
    )
    parser.add_argument(
        "--model-store",
        type=Path,
        help="keep digits.mar in this folder (default: a temporary one)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Show a server at work; stop it on Ctrl-C or TERM, or at once with ``--once``.

    :returns: 0 when at least nine of ten digits were read right; 1 when not, or when the server failed; 2
        when the example's packages are missing; 130 when it was interrupted before the end.
    """
    console = Console()
    missing = [package for package in ("torch", "PIL") if find_spec(package) is None]
    if missing:
        print("The example needs torch and Pillow: pip install 'modelserver[torch]'", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="modelserver-quickstart-") as folder:
            return _show(arguments, Path(folder), console)
    except (PackingFailed, OSError) as failure:
        print(f"The quickstart could not be prepared: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _show(arguments: argparse.Namespace, folder: Path, console: Console) -> int:
    """Run the example in an empty folder; return the exit status."""
    store = (arguments.model_store or folder / "model-store").resolve()
    store.mkdir(parents=True, exist_ok=True)
    archive = pack_digits(store)
    say(console, f"Packed the example model as {archive.name}; starting a server.")
    ports = ports_from(arguments.port)
    options = write_options(folder, store, ports, METRICS)
    with ChildServer(options, folder) as server:
        try:
            predictions = _predict(server, ports, archive.name, console)
            right = sum(prediction.is_right for prediction in predictions)
            status = 0 if right >= ENOUGH else 1
            console.print(as_table(predictions))
            say(console, f"{right} of {len(predictions)} digits were read right.")
            if not arguments.once:
                say(console, what_next(ports, samples(2)[3]))
                _serve(server, console)
            return status
        except (ServerFailed, OSError, http.client.HTTPException) as failure:
            print(f"{failure}\nThe end of the server's log:\n{server.last_lines()}", file=sys.stderr)
            return 1


def _predict(server: ChildServer, ports: Ports, archive: str, console: Console) -> list[DigitPrediction]:
    """Register the model with the running server, and have it read the ten pictures."""
    inference = Client(HOST, ports.inference, REGISTER_SECONDS)
    management = Client(HOST, ports.management, REGISTER_SECONDS)
    server.wait_until_healthy(Client(HOST, ports.inference, START_SECONDS), START_SECONDS)
    say(console, f"The server is up; registering {archive} with one worker.")
    say(console, register(management.ask, archive))
    return [predict(inference.ask, picture) for picture in samples(1)]


def _serve(server: ChildServer, console: Console) -> None:
    """Serve until an interrupt."""
    try:
        server.wait()
    except KeyboardInterrupt:
        say(console, "\nStopping.")


def pack_digits(store: Path) -> Path:
    """
    Build ``digits.mar`` in the model store, as ``torch-model-archiver`` would.

    :raises PackingFailed: the archive cannot be written.
    """
    request = PackRequest(
        model_name=MODEL,
        version="1.0",
        serialized_file=str(example() / "digits.pt"),
        handler=str(example() / "handler.py"),
        config_file=str(example() / "model-config.yaml"),
        export_path=store,
        force=True,
    )
    return pack(request)


def example() -> Path:
    """Return the folder of the packaged example; nothing of it is imported here: its modules load torch."""
    return Path(str(files("modelserver.examples"))) / "digits"


def samples(number: int) -> list[Path]:
    """Return the packaged pictures, from 0 to 9: the first of each digit (white on black), or the second."""
    return [example() / "samples" / f"{digit}-{number}.png" for digit in range(10)]


def register(ask: Ask, archive: str) -> str:
    """
    Register an archive of the model store with one worker, and wait for the worker.

    :returns: the server's message.
    :raises ServerFailed: the server refused, or the model cannot be loaded.
    """
    path = f"/models?url={archive}&initial_workers=1&synchronous=true"
    return _accepted(ask("POST", path, b""), f"POST {path}").message


def predict(ask: Ask, picture: Path) -> DigitPrediction:
    """
    Have the model read one picture, which is named after its digit.

    :raises ServerFailed: there was no prediction.
    """
    path = f"/predictions/{MODEL}"
    reply = _accepted(ask("POST", path, picture.read_bytes()), f"POST {path}")
    try:
        answer = json.loads(reply.body)
        return DigitPrediction(
            picture.name, int(picture.name[0]), int(answer["digit"]), float(answer["probability"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ServerFailed(f"POST {path}: no prediction but {reply.message!r}") from error


def _accepted(reply: ServerReply, request: str) -> ServerReply:
    if reply.status != http.client.OK:
        raise ServerFailed(f"{request}: {reply.status} {reply.message}")
    return reply


def as_table(predictions: Sequence[DigitPrediction]) -> Table:
    """Return a table of the predictions."""
    table = Table(title="Handwritten digits, read by the model")
    table.add_column("picture")
    for name in ("expected", "predicted", "probability", "ok"):
        table.add_column(name, justify="right")
    for prediction in predictions:
        table.add_row(
            prediction.picture,
            str(prediction.expected),
            str(prediction.predicted),
            f"{prediction.probability:.4f}",
            "[green]yes[/]" if prediction.is_right else "[red]no[/]",
        )
    return table


def what_next(ports: Ports, picture: Path) -> str:
    """Return the addresses, and commands to try while the server runs."""
    inference, management, metrics = (
        f"http://{HOST}:{port}" for port in (ports.inference, ports.management, ports.metrics)
    )
    return f"""
Predictions: {inference}
Management:  {management}
Metrics:     {metrics}

Try in another terminal:
  curl -T {shlex.quote(str(picture))} {inference}/predictions/{MODEL}
  curl {management}/models/{MODEL}
  curl -X PUT '{management}/models/{MODEL}?min_worker=2&synchronous=true'
  curl {inference}/ping
  curl {metrics}/metrics

Serving until Ctrl-C.
"""


def say(console: Console, text: str) -> None:
    """Print a line as it is: never folded, so that it can be copied."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)
