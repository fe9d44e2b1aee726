"""A model of 150 MB, all of which it touches when it is loaded."""

from __future__ import annotations

from typing import Any

SIZE = 150_000_000
PAGE = 4096


class Hoard:
    """Answers with nothing but a word; what counts is what it takes."""

    def initialize(self, context: object) -> None:
        self.weights = bytearray(SIZE)
        self.weights[::PAGE] = b"\1" * len(range(0, SIZE, PAGE))

    def handle(self, data: list[dict[str, Any]], context: object) -> list[str]:
        return ["OK" for _ in data]
