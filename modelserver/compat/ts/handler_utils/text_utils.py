"""Tokens and n-grams."""

from modelserver.child.handlers.tokens import get_tokenizer, ngrams_iterator

__all__ = ["get_tokenizer", "ngrams_iterator"]
