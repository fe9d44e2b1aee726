"""The list of public handlers: repository, commit, path, and what each is given."""

from __future__ import annotations

from collections.abc import Sequence

from tests.corpus import languages, pictures, tables
from tests.corpus.public_handler import PublicHandler

HANDLERS: Sequence[PublicHandler] = tuple(
    sorted((*pictures.HANDLERS, *languages.HANDLERS, *tables.HANDLERS), key=lambda each: each.server)
)
"""Sorted by the server that each needs."""
