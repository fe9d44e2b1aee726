"""From a text to the numbers of its words: cleaning, tokens, n-grams, vocabulary."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

CLEANUP_REGEX = re.compile("<.*?>|&([a-z0-9]+|#[0-9]{1,6}|#x[0-9a-f]{1,6});")
"""HTML tags and entities."""
_ENTITY = re.compile("&([a-z0-9]+|#[0-9]{1,6}|#x[0-9a-f]{1,6});")
UNKNOWN = "<unk>"

_SPACED = str.maketrans({mark: f" {mark} " for mark in "'.,()!?"} | {'"': "", ";": " ", ":": " "})
_BREAK = re.compile(r"<br\s*/?>")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def remove_html_tags(text: str) -> str:
    """The text without HTML tags and entities, as ``CLEANUP_REGEX`` finds them, in linear time."""
    return "\n".join(map(_without_tags, text.split("\n")))


def _without_tags(line: str) -> str:
    # Behind the last ">" no tag ends; the expression would look for the end of each that begins there.
    last = line.rfind(">") + 1
    return CLEANUP_REGEX.sub("", line[:last]) + _ENTITY.sub("", line[last:])


def remove_accents(text: str) -> str:
    """The text in ASCII: letters lose their accents, other signs are dropped."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")


def remove_punctuation(text: str) -> str:
    """The text without punctuation marks."""
    return text.translate(_PUNCTUATION)


def basic_english(text: str) -> list[str]:
    """Words and marks in small letters, split as torchtext's ``basic_english`` does."""
    return _BREAK.sub(" ", text.lower()).translate(_SPACED).split()


def get_tokenizer(tokenizer: str | Callable[[str], list[str]] | None, language: str = "en") -> Any:
    """
    A tokenizer by its name: ``basic_english``, or None for words between spaces; a function is itself.

    :raises ValueError: there is no such tokenizer here.
    """
    if tokenizer is None:
        return str.split
    if callable(tokenizer):
        return tokenizer
    if tokenizer != "basic_english" or language != "en":
        raise ValueError(f"There is no tokenizer {tokenizer!r} for {language!r}, only basic_english for en.")
    return basic_english


def ngrams_iterator(token_list: Sequence[str], ngrams: int) -> Iterator[str]:
    """The tokens, then each two neighbours joined by a space, and so on up to ``ngrams`` of them."""
    for count in range(1, ngrams + 1):
        for start in range(len(token_list) - count + 1):
            yield " ".join(token_list[start : start + count])


def look_up(vocabulary: Any, words: Sequence[str]) -> tuple[list[str], list[int]]:
    """
    The words that a vocabulary knows, and their numbers.

    An unknown word has the number that the vocabulary itself gives to such words, else that of ``<unk>``.
    Where there is neither, it is left out.

    :param vocabulary: anything that has ``vocabulary[word]``: a dict, a Counter, or torchtext's Vocab.
    """
    unknown = _number(vocabulary, UNKNOWN)
    found = [(word, _number(vocabulary, word, unknown)) for word in words]
    known = [(word, number) for word, number in found if number is not None]
    return [word for word, _ in known], [number for _, number in known]


def _number(vocabulary: Any, word: str, default: int | None = None) -> int | None:
    if isinstance(vocabulary, defaultdict) and word not in vocabulary:
        # Asked for the word, it would learn it.
        return default if vocabulary.default_factory is None else int(vocabulary.default_factory())
    try:
        return int(vocabulary[word])
    except (KeyError, RuntimeError):  # torchtext's Vocab raises RuntimeError
        return default
