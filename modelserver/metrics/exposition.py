"""Metrics as a scrape sees them: Prometheus' text format 0.0.4, in the shape that TorchServe gives it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from math import isinf, isnan

from modelserver.language.attributes import frozen
from modelserver.metrics.declarations import COUNTER, HISTOGRAM, Declaration
from modelserver.metrics.series import Family, Labels

LINES_AT_ONCE = 4000
TOTAL = "_total"
_PARTS = ("_bucket", "_count", "_sum")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})


def peers_help(declaration: Declaration) -> str:
    """Return the HELP text that TorchServe's metrics have."""
    return f"Torchserve prometheus {declaration.kind} metric with unit: {declaration.unit}"


def is_exposable(declaration: Declaration) -> bool:
    """Return whether Prometheus accepts the names of a metric and of its labels."""
    dimensions = declaration.dimensions
    return (
        _NAME.fullmatch(declaration.name) is not None
        and all(_LABEL.fullmatch(name) and not name.startswith("__") for name in dimensions)
        and len(set(dimensions)) == len(dimensions)
        and "le" not in dimensions
    )


def names_of(declaration: Declaration) -> frozenset[str]:
    """Return the names that a metric has at the endpoint, of its family and its samples, in either format."""
    name = declaration.name
    if declaration.kind == HISTOGRAM:
        return frozenset((name, *(name + suffix for suffix in _PARTS)))
    if declaration.kind == COUNTER:  # which OpenMetrics calls by the name without the suffix
        return frozenset((name, name.removesuffix(TOTAL)))
    return frozenset((name,))


@frozen
class Exposed:
    """
    A family at a scrape.

    :param added: values for the last labels, where a series has fewer values than the family has labels.
    """

    family: Family
    help: str
    added: Labels = ()

    def lines(self, names: Collection[str] = ()) -> Iterator[str]:
        """
        Return the family in the text format; an empty text for each sample that is not wanted.

        :param names: the samples that are wanted; empty: all. A family without any of them has no lines; a
            family that has no samples yet has its HELP and TYPE.
        """
        declaration = self.family.declaration
        name, help_text = declaration.name, self.help.translate(_HELP_ESCAPES)
        head = f"# HELP {name} {help_text}\n# TYPE {name} {declaration.kind}\n"
        if not names:
            yield head
            yield from self._lines(names)
        elif any(wanted.startswith(name) for wanted in names):
            for line in self._lines(names):
                yield head + line if line else line
                head = "" if line else head

    def all_labels(self, labels: Labels) -> Labels:
        """Return the values of all labels of a series."""
        return (labels + self.added)[: len(self.family.declaration.dimensions)]

    def _lines(self, names: Collection[str]) -> Iterator[str]:
        name, dimensions = self.family.declaration.name, self.family.declaration.dimensions
        written: Labels | None = None
        shown = ""
        for suffix, labels, bound, value in self.family.samples():
            if labels is not written:
                written = labels
                pairs = zip(dimensions, self.all_labels(labels), strict=True)
                shown = "".join([f'{key}="{escaped(text)}",' for key, text in pairs])
            if names and name + suffix not in names:
                yield ""
            elif bound:
                yield f'{name}{suffix}{{{shown}le="{bound}",}} {float(value)}\n'
            elif shown:
                yield f"{name}{suffix}{{{shown}}} {number(value)}\n"
            else:
                yield f"{name}{suffix} {number(value)}\n"


def pieces(exposed: Iterable[Exposed], names: Collection[str] = ()) -> Iterator[bytes]:
    """
    Write families in the text format, in pieces that take a few milliseconds each.

    The client library's own function cannot be used: it adds ``_total`` to the name of a counter, where
    TorchServe's counters have none, and it takes ten times as long, during which requests wait. A comma
    ends each set of labels, as TorchServe has it.

    :param names: the samples that are wanted, as ``name[]`` of a scrape lists them; empty: all.
    """
    lines = chain.from_iterable([each.lines(names) for each in exposed])
    while piece := list(islice(lines, LINES_AT_ONCE)):
        yield "".join(piece).encode("utf-8", "replace")


def render(exposed: Iterable[Exposed], names: Collection[str] = ()) -> bytes:
    """Return all ``pieces`` as one text."""
    return b"".join(pieces(exposed, names))


def escaped(text: str) -> str:
    """Return a text as it stands between quotes."""
    return text.translate(_ESCAPES) if '"' in text or "\\" in text or "\n" in text else text


def number(value: float) -> str:
    """Return a number as samples have it."""
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(float(value))
