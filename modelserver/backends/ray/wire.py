"""
What the server and the agent of a node say to each other, beside what server and worker say.

Both are frames on one TLS connection. Those of ``modelserver.protocol.frames`` go through the agent as they
are; those below are for the agent, or from it. The first bytes of the connection are the token.

Server to agent: ``START`` (JSON: what to start, and how), ``OFFER`` (JSON: digest and size of the model's
files), ``FILES`` (a piece of them; ``count`` 1: the last), ``SIGNAL`` (``number``: for the worker's process
group), ``END_INPUT`` (the worker's socket is closed), ``PROBE`` (``number``: repeated in its echo).

Agent to server: ``NEED`` (the server's folder cannot be seen here: offer the files), ``WANT`` (they are not
kept here: send them), ``SPAWNED`` (JSON: process id, host), ``OUTPUT`` (``number`` 1 or 2: what the worker
wrote), ``EXITED`` (JSON: code, signal, whether the node lacked memory), ``ECHO`` (``number`` and the node's
monotonic seconds; number 0 is no probe's, but a sign of life while much comes), ``USAGE`` (JSON: bytes of
memory, its GPU's load), ``NOT_STARTED`` (JSON: why).
"""

from __future__ import annotations

import struct
from enum import IntEnum

TOKEN_SIZE = 32
SECONDS = struct.Struct("<d")
PIECE = 1 << 18
"""Bytes of a piece of the model's files."""
LARGEST_TO_NODE = 1 << 31
FIRST_FOR_NODES = 64
"""Frames of smaller kinds are the worker's own."""


class NodeKind(IntEnum):
    """What a frame to or from an agent is: see the module."""

    START = 64
    OFFER = 65
    FILES = 66
    SIGNAL = 67
    END_INPUT = 68
    PROBE = 69
    NEED = 80
    WANT = 81
    SPAWNED = 82
    OUTPUT = 83
    EXITED = 84
    ECHO = 85
    USAGE = 86
    NOT_STARTED = 87
