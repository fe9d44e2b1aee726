"""Tokens and n-grams."""

from modelserver.child.handlers.tokens import get_tokenizer, ngrams_iterator
from modelserver.compat.borrowed import borrowed

__all__ = ["get_tokenizer", "ngrams_iterator"]

__getattr__ = borrowed(__name__)
