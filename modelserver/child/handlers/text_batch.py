"""The words of several texts, one after the other in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class TextBatch(tuple["torch.Tensor", list[str]]):
    """
    A pair for handlers that know one text only: the numbers, and the first text's words.

    :param numbers: of the words of all texts.
    :param words: of each text.
    """

    words: Sequence[list[str]]

    def __new__(cls, numbers: torch.Tensor, words: Sequence[list[str]]) -> TextBatch:
        """Make the pair, and keep the words of all texts beside it."""
        batch = super().__new__(cls, (numbers, words[0] if words else []))
        batch.words = words
        return batch

    @property
    def starts(self) -> list[int]:
        """Where each text starts in the tensor."""
        return [0, *accumulate(len(words) for words in self.words[:-1])]

    def texts(self) -> list[torch.Tensor]:
        """The numbers of each text."""
        return [
            self[0][start : start + len(words)] for start, words in zip(self.starts, self.words, strict=True)
        ]
