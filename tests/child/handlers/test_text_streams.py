"""Generated texts are handed over by the word."""

from __future__ import annotations

import queue
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.handlers.text_streams import TextIteratorStreamerBatch
from tests.harness.packages import needs_torch


class Bytes:
    """A tokenizer whose tokens are bytes of UTF-8; 0 is padding."""

    def decode(self, tokens: list[int], skip_special_tokens: bool = False) -> str:
        """The text of some bytes."""
        kept = [token for token in tokens if token or not skip_special_tokens]
        return bytes(kept).decode("utf-8", "replace")


def taken(streamer: TextIteratorStreamerBatch) -> list[list[str]]:
    """The texts that are handed over."""
    return [[row["text"] for row in rows] for rows in streamer]


def streamed(texts: list[str], **options: Any) -> list[list[str]]:
    """What a streamer hands over when texts come byte by byte."""
    rows = [list(text.encode()) for text in texts]
    longest = max(map(len, rows))
    streamer = TextIteratorStreamerBatch(Bytes(), len(texts), skip_special_tokens=True, **options)
    for place in range(longest):
        streamer.put([row[place] if place < len(row) else 0 for row in rows])
    streamer.end()
    return taken(streamer)


class TextIteratorStreamerBatchTests(SynchronousTestCase):
    """The streamer for several rows."""

    def test_words_leave_when_they_are_complete(self) -> None:
        self.assertEqual(streamed(["one two", "a b"]), [["", "a "], ["one ", ""], ["two", "b"]])

    def test_new_line_starts_afresh(self) -> None:
        self.assertEqual(streamed(["a\nb c\n"]), [["a\n"], ["b "], ["c\n"]])

    def test_prompt_may_be_left_out(self) -> None:
        streamer = TextIteratorStreamerBatch(Bytes(), 1, skip_prompt=True)
        streamer.put([[112, 113]])
        streamer.put([97])
        streamer.end()
        self.assertEqual(taken(streamer), [["a"]])

    def test_prompt_is_part_of_the_text_else(self) -> None:
        streamer = TextIteratorStreamerBatch(Bytes(), 1)
        streamer.put([[112, 32]])
        streamer.put([97])
        streamer.end()
        self.assertEqual(taken(streamer), [["p "], ["a"]])

    @needs_torch
    def test_tensors(self) -> None:
        import torch

        streamer = TextIteratorStreamerBatch(Bytes(), 2)
        streamer.put(torch.tensor([[97], [98]]))
        streamer.put(torch.tensor([32, 32]))
        self.assertEqual(next(streamer), [{"text": "a "}, {"text": "b "}])

    def test_wrong_number_of_rows(self) -> None:
        self.assertRaises(ValueError, TextIteratorStreamerBatch(Bytes(), 2).put, [1])

    def test_timeout(self) -> None:
        self.assertRaises(queue.Empty, next, TextIteratorStreamerBatch(Bytes(), 1, timeout=0.0))

    @given(st.lists(st.text(st.sampled_from("ab é日\n")), min_size=1, max_size=3).filter(any))
    def test_nothing_is_lost_or_said_twice(self, texts: list[str]) -> None:
        parts = streamed(texts)
        self.assertEqual(["".join(row) for row in zip(*parts, strict=True)], texts)
        self.assertTrue(all(any(part) for part in parts))
