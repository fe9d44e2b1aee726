"""What every peer runs: a handler of ``bench/handlers``, given bodies and asked for bytes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module


class Work:
    """
    A handler that is loaded.

    :param handler: its file's name in ``bench/handlers``.
    """

    def __init__(self, handler: str) -> None:
        self._handle = import_module(f"bench.handlers.{handler}").handle
        self._handle(None, None)

    def batch(self, bodies: Sequence[bytes]) -> list[bytes]:
        """Answer these requests together."""
        answers = self._handle([{"body": body} for body in bodies], None)
        return [answer.encode() if isinstance(answer, str) else bytes(answer) for answer in answers]

    def one(self, body: bytes) -> bytes:
        """Answer a request alone."""
        return self.batch([body])[0]


def options() -> argparse.Namespace:
    """The command line of all these programs; words that are not ours are the server's own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--handler", required=True)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--delay-ms", type=int, default=10, help="for which a batch waits")
    return parser.parse_known_args()[0]
