"""English contractions, and what they are short for."""

from __future__ import annotations

import re
from itertools import product

_ENDINGS = {"'d": "would", "'d've": "would have", "'ll": "will", "'ll've": "will have", "'ve": "have"}
_NEGATED = "are could did do does had has have is might must need ought should was were would"  # + n't
_IRREGULAR = {
    "ain't": "is not",
    "can't": "cannot",
    "can't've": "cannot have",
    "'cause": "because",
    "could've": "could have",
    "couldn't've": "could not have",
    "hadn't've": "had not have",
    "how'd": "how did",
    "how'd'y": "how do you",
    "how'll": "how will",
    "how's": "how is",
    "i'm": "i am",
    "let's": "let us",
    "ma'am": "madam",
    "mayn't": "may not",
    "might've": "might have",
    "mightn't've": "might not have",
    "must've": "must have",
    "mustn't've": "must not have",
    "needn't've": "need not have",
    "o'clock": "of the clock",
    "oughtn't've": "ought not have",
    "shan't": "shall not",
    "sha'n't": "shall not",
    "shan't've": "shall not have",
    "should've": "should have",
    "shouldn't've": "should not have",
    "so've": "so have",
    "so's": "so as",
    "that'd": "that would",
    "that'd've": "that would have",
    "that's": "that is",
    "there'd": "there would",
    "there'd've": "there would have",
    "there's": "there is",
    "to've": "to have",
    "what'll": "what will",
    "what'll've": "what will have",
    "what're": "what are",
    "what's": "what is",
    "what've": "what have",
    "when's": "when is",
    "when've": "when have",
    "where'd": "where did",
    "where's": "where is",
    "where've": "where have",
    "who'll": "who will",
    "who'll've": "who will have",
    "who's": "who is",
    "who've": "who have",
    "why's": "why is",
    "why've": "why have",
    "will've": "will have",
    "won't": "will not",
    "won't've": "will not have",
    "would've": "would have",
    "wouldn't've": "would not have",
    "y'all": "you all",
    "y'all'd": "you all would",
    "y'all'd've": "you all would have",
    "y'all're": "you all are",
    "y'all've": "you all have",
}


def _make() -> dict[str, str]:
    known = {f"{word}n't": f"{word} not" for word in _NEGATED.split()}
    for pronoun, (ending, meaning) in product(
        ("i", "you", "he", "she", "it", "we", "they"), _ENDINGS.items()
    ):
        known[pronoun + ending] = f"{pronoun} {meaning}"
    known.update({f"{pronoun}'re": f"{pronoun} are" for pronoun in ("you", "we", "they")})
    known.update({f"{pronoun}'s": f"{pronoun} is" for pronoun in ("he", "she", "it")})
    return {**known, **_IRREGULAR}


CONTRACTION_MAP = _make()
"""From a contraction, in small letters, to its long form."""

_PATTERN = re.compile(
    "|".join(re.escape(known) for known in sorted(CONTRACTION_MAP, key=len, reverse=True)), re.IGNORECASE
)


def expand(text: str) -> str:
    """The text with its contractions written out: ``Can't`` becomes ``Cannot``."""
    return _PATTERN.sub(_expanded, text)


def _expanded(found: re.Match[str]) -> str:
    short = found.group()
    full = CONTRACTION_MAP[short.lower()]
    return full.capitalize() if short[0].isupper() else full
