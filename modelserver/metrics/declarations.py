"""What a metric is that is kept."""

from __future__ import annotations

from modelserver.language.attributes import frozen

COUNTER = "counter"
GAUGE = "gauge"
HISTOGRAM = "histogram"

KINDS = (COUNTER, GAUGE, HISTOGRAM)


@frozen
class Declaration:
    """
    One metric that is kept.

    :param kind: ``counter``, ``gauge`` or ``histogram``.
    :param dimensions: the names of its labels in order; the last one is the host's name.
    """

    name: str
    kind: str
    unit: str
    dimensions: tuple[str, ...] = ()


@frozen
class Declarations:
    """All metrics that are kept: the server's own, and those that handlers may emit."""

    server: tuple[Declaration, ...] = ()
    model: tuple[Declaration, ...] = ()
