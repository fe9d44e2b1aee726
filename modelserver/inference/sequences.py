"""Requests of sequences, for fronts whose clients name a sequence elsewhere than in a header."""

from __future__ import annotations

import re

from modelserver.errors import BadRequest
from modelserver.language.attributes import frozen
from modelserver.version_settings.values import Sequences

LONGEST_ID = 1024
"""Characters of a sequence's name."""
_ID = re.compile(r"[^\x00-\x1f\x7f]+")


@frozen
class SequenceStep:
    """
    A request of a sequence.

    :param id: the sequence's name.
    :param starts: the name was made for a client that had none: handlers are told.
    :param ends: the client will send no more of this sequence: handlers are told.
    """

    id: str
    starts: bool = False
    ends: bool = False


def with_step(block: bytes, step: SequenceStep, rules: Sequences) -> bytes:
    """
    Return a request's header lines with those that tell its sequence, instead of any that its client sent.

    :raises BadRequest: the name cannot be one.
    """
    if _ID.fullmatch(step.id) is None or step.id != step.id.strip() or len(step.id) > LONGEST_ID:
        raise BadRequest("Parameter sequenceId must be a text of printable characters.")
    lines = [line for line in block.split(b"\r\n") if line and not _is_about(line, rules)]
    lines.append(b"%b: %b" % (rules.id_header.encode("latin-1"), step.id.encode()))
    if step.starts:
        lines.append(b"%b: true" % rules.start_header.encode("latin-1"))
    if step.ends:
        lines.append(b"%b: true" % rules.end_header.encode("latin-1"))
    return b"\r\n".join([*lines, b""])


def _is_about(line: bytes, rules: Sequences) -> bool:
    name = line.partition(b":")[0].strip().lower().decode("latin-1")
    return name in (rules.id_header.lower(), rules.start_header.lower(), rules.end_header.lower())


def queued_name(sequence: str) -> str:
    """Return a sequence's name as its queue reads it, which takes the UTF-8 of a header line for latin-1."""
    return sequence.encode().decode("latin-1")
