"""Metrics in OpenMetrics 1.0, with the traces of some requests as exemplars, for scrapers that ask for it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from attrs import field

from modelserver.language.attributes import define
from modelserver.metrics.declarations import COUNTER
from modelserver.metrics.exposition import LINES_AT_ONCE, TOTAL, Exposed, escaped, number
from modelserver.metrics.tallies import SECONDS

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_ASKED = "application/openmetrics-text"
_PLAIN = "text/plain"
WITH_EXEMPLARS = "modelserver_request_seconds"
"""The histogram whose buckets have exemplars."""
MOST_VERSIONS = 1000
"""Versions that exemplars are kept for."""

Series = tuple[str, str]
"""A model and a version."""
_BOUNDS = (*(repr(float(bound)) for bound in SECONDS), "+Inf")


@define(eq=False)
class Exemplars:
    """The last traced request in each bucket of each version's ``WITH_EXEMPLARS``."""

    _kept: dict[Series, dict[str, tuple[str, float, float]]] = field(factory=dict, init=False)

    def note(self, model: str, version: str, seconds: float, trace: tuple[str, float]) -> None:
        """
        Keep a request.

        :param trace: the id of its trace, and seconds since the epoch.
        """
        series = self._kept.get((model, version))
        if series is None:
            if len(self._kept) >= MOST_VERSIONS:
                self._kept.clear()
            series = self._kept[model, version] = {}
        trace_id, at = trace
        series[_BOUNDS[bisect_left(SECONDS, seconds)]] = trace_id, seconds, at

    def shown(self, labels: tuple[str, ...], bound: str) -> str:
        """Return what is kept for a bucket of a series, as it stands behind its sample."""
        kept = self._kept.get((labels[0], labels[1]), {}).get(bound)
        if kept is None:
            return ""
        trace_id, seconds, at = kept
        return f' # {{trace_id="{trace_id}"}} {seconds!r} {at:.3f}'


def is_openmetrics_wanted(accept: str) -> bool:
    """Return whether a scraper likes this format at least as much as the older one (``Accept``)."""
    weights = {_ASKED: 0.0, _PLAIN: 0.0}
    for part in accept.split(","):
        kind, *parameters = (each.strip().lower() for each in part.split(";"))
        if kind in weights:
            weights[kind] = max(weights[kind], _weight(parameters))
    return weights[_ASKED] > 0 and weights[_ASKED] >= weights[_PLAIN]


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def openmetrics_pieces(
    exposed: Iterable[Exposed], exemplars: Exemplars, names: Collection[str] = ()
) -> Iterator[bytes]:
    """
    Write families in pieces, as ``exposition.pieces`` does.

    A counter whose name has no ``_total`` is of no type that is known here: its samples keep their names.
    """
    lines = (line for each in exposed for line in _lines(each, exemplars, names))
    while piece := list(islice(lines, LINES_AT_ONCE)):
        yield "".join(piece).encode("utf-8", "replace")
    yield b"# EOF\n"


def _lines(exposed: Exposed, exemplars: Exemplars, names: Collection[str]) -> Iterator[str]:
    declaration = exposed.family.declaration
    name, kind = declaration.name, declaration.kind
    family = name
    if kind == COUNTER:
        family, kind = (name.removesuffix(TOTAL), kind) if name.endswith(TOTAL) else (name, "unknown")
    head = f"# TYPE {family} {kind}\n# HELP {family} {escaped(exposed.help)}\n"
    has_exemplars = name == WITH_EXEMPLARS
    for suffix, labels, bound, value in exposed.family.samples():
        if names and name + suffix not in names:
            continue
        pairs = zip(declaration.dimensions, exposed.all_labels(labels), strict=True)
        shown = [f'{key}="{escaped(text)}"' for key, text in pairs]
        if bound:
            shown.append(f'le="{bound}"')
        behind = exemplars.shown(labels, bound) if bound and has_exemplars else ""
        inside = f"{{{','.join(shown)}}}" if shown else ""
        yield f"{head}{name}{suffix}{inside} {number(value)}{behind}\n"
        head = ""
