"""What the server and its driver, the process that knows Ray, say to each other: frames of JSON."""

from __future__ import annotations

from enum import IntEnum

DRIVER_FD = 3
"""The driver's end of its socket to the server."""


class DriverKind(IntEnum):
    """
    What a frame to or from the driver is; ``number`` is the agent's.

    To it: ``JOIN`` (``address``), ``PLACE`` (``worker``, ``version``, ``resources``, ``strategy``, ``line``),
    ``CANCEL`` (``silent``: nothing is heard of its node). From it: ``JOINED`` (``host``), ``UNUSABLE``
    (``reason``), ``WAITS`` (``reason``), ``PLACED`` (``node``, ``address``, ``group``, ``reason``),
    ``NOT_STARTED`` (``reason``).
    """

    JOIN = 96
    PLACE = 97
    CANCEL = 98
    JOINED = 112
    UNUSABLE = 113
    WAITS = 114
    PLACED = 115
    NOT_STARTED = 116
