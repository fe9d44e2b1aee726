"""
Blocks of HTTP header lines, as they travel with jobs and answers.

The block of a request is lines that each end in CRLF; that of an answer begins with a reason phrase and CRLF.
"""

from __future__ import annotations


def header_values(lines: bytes, name: str) -> list[str]:
    """
    Return the values of all headers called ``name``, in order, without the spaces around them.

    :param lines: header lines, without a reason phrase.
    :param name: in any case; latin-1, as the values are.
    """
    wanted = name.lower().encode("latin-1")
    pairs = [line.partition(b":") for line in lines.split(b"\r\n")]
    return [value.strip().decode("latin-1") for found, _, value in pairs if found.lower() == wanted]


def answer_lines(block: bytes) -> bytes:
    """Return the header lines of an answer's block, without its reason phrase."""
    return block.partition(b"\r\n")[2]
