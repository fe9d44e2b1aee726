"""Texts that a language model generates, handed over word by word while it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

INCOMPLETE = "\ufffd"
"""What a tokenizer makes of half a character."""


class _Text:
    """One row: its tokens so far, and how much of their text has left."""

    def __init__(self, tokenizer: Any, options: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._options = options
        self._tokens: list[int] = []
        self._sent = 0

    def add(self, tokens: list[int]) -> str:
        """The words that are complete now."""
        self._tokens += tokens
        text = self._decoded()
        end = max(text.rfind(" "), text.rfind("\n")) + 1
        if text.endswith("\n"):
            # A new line starts afresh, so that long texts are not decoded again and again.
            self._tokens = []
            new, self._sent = text[self._sent :], 0
            return new
        new = text[self._sent : end]
        self._sent = max(self._sent, end)
        return new

    def rest(self) -> str:
        """What has not left yet."""
        text = self._decoded().rstrip(INCOMPLETE)
        self._tokens = []
        new, self._sent = text[self._sent :], 0
        return new

    def _decoded(self) -> str:
        return str(self._tokenizer.decode(self._tokens, **self._options)) if self._tokens else ""


class TextIteratorStreamerBatch:
    """
    A streamer for ``generate`` of the transformers library, for several rows.

    To be iterated over in another thread. Each item is a list with a dict for each row, whose ``text`` is the
    new text of it, which may be empty for some.

    :param batch_size: rows.
    :param skip_prompt: leave out the tokens that come first.
    :param timeout: seconds to wait for the next text; ``queue.Empty`` is raised after that.
    :param decode_kwargs: for the tokenizer's ``decode``.
    """

    def __init__(
        self,
        tokenizer: Any,
        batch_size: int,
        skip_prompt: bool = False,
        timeout: float | None = None,
        **decode_kwargs: Any,
    ) -> None:
        self.batch_size = batch_size
        self.timeout = timeout
        self._skips = skip_prompt
        self._texts = [_Text(tokenizer, decode_kwargs) for _ in range(batch_size)]
        self._queue: SimpleQueue[list[dict[str, str]] | None] = SimpleQueue()

    def put(self, value: Any) -> None:
        """
        Take the next tokens of all rows.

        :param value: one token for each row, or a list of tokens for each.
        :raises ValueError: there are more or fewer rows.
        """
        if self._skips:
            self._skips = False
            return
        rows = value.tolist() if hasattr(value, "tolist") else list(value)
        if len(rows) != self.batch_size:
            raise ValueError(f"{len(rows)} rows came for a batch of {self.batch_size}")
        new = [
            text.add(row if isinstance(row, list) else [row])
            for text, row in zip(self._texts, rows, strict=True)
        ]
        self._hand_over(new)

    def end(self) -> None:
        """Hand over what is left, and let the iteration end."""
        self._hand_over([text.rest() for text in self._texts])
        self._queue.put(None)

    def _hand_over(self, new: list[str]) -> None:
        if any(new):
            self._queue.put([{"text": text} for text in new])

    def __iter__(self) -> Iterator[list[dict[str, str]]]:
        return self

    def __next__(self) -> list[dict[str, str]]:
        new = self._queue.get(timeout=self.timeout)
        if new is None:
            raise StopIteration
        return new
