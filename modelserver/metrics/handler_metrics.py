"""Keeps the metrics that handlers emit through ``context.metrics``, as they are declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import isfinite

from attrs import field
from twisted.logger import Logger

from modelserver.language.attributes import define, frozen
from modelserver.metrics.declarations import COUNTER, KINDS, Declaration
from modelserver.metrics.exposition import TOTAL, Exposed, is_exposable, names_of, peers_help
from modelserver.metrics.log_lines import MetricLog
from modelserver.metrics.series import Family, Labels, new_family
from modelserver.protocol.metric_units import PROFILE_PREFIX, UNIT_NAMES

# A handler that makes up names must not fill the memory.
MOST_METRICS = 1_000

# The names that TorchServe's parser accepts; and units that cannot be taken for another part of a line.
_NAME = re.compile(r"[\w ]+")
_UNIT = re.compile(r"[^\x00-\x1f:|#,]+")

_OWN = "modelserver_"
"""What the names of this server's own metrics begin with."""

_log = Logger()


@frozen
class Emitted:
    """
    One value that a handler emitted.

    :param value: a number; a text only from Multi Model Server's ``add_error``.
    :param dimensions: names and values, without the host's.
    :param request_id: one id, or several joined by commas, or empty.
    :param timestamp: seconds since the epoch, or None.
    """

    name: str
    value: float | str
    unit: str
    kind: str
    dimensions: tuple[tuple[str, str], ...]
    request_id: str = ""
    timestamp: float | None = None


def read(record: Mapping[str, object]) -> Emitted | None:
    """Return a record of a worker's frame as a value, or None if the record does not have the form of one."""
    name, value, unit = record.get("name"), record.get("value"), record.get("unit")
    kind, timestamp = str(record.get("type", COUNTER)).lower(), record.get("timestamp")
    pairs = record.get("dimensions", ())
    if (
        not isinstance(name, str)
        or not isinstance(value, int | float | str)
        or not isinstance(pairs, Sequence)
    ):
        return None
    shown_unit = UNIT_NAMES.get(str(unit or ""), str(unit))
    if kind not in KINDS or not _NAME.fullmatch(name) or not _UNIT.fullmatch(shown_unit):
        return None
    if isinstance(value, float) and not isfinite(value):
        return None
    if not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in pairs):
        return None
    return Emitted(
        name=name,
        value=value,
        unit=shown_unit,
        kind=kind,
        dimensions=tuple((str(dimension), str(text)) for dimension, text in pairs),
        request_id=str(record.get("request_id") or ""),
        timestamp=timestamp if isinstance(timestamp, int | float) else None,
    )


def labels_for(declaration: Declaration, dimensions: Sequence[tuple[str, str]]) -> Labels | None:
    """
    Return the values of the declared dimensions but the host's: by name where all names agree, else by
    position; None if there are more or fewer than declared.
    """
    wanted = declaration.dimensions[:-1]
    if len(dimensions) != len(wanted):
        return None
    by_name = dict(dimensions)
    if len(by_name) == len(wanted) and all(name in by_name for name in wanted):
        return tuple(by_name[name] for name in wanted)
    return tuple(value for _, value in dimensions)


@define(eq=False)
class EmittedMetrics:
    """
    Keeps the values of declared metrics and of profiles, or of all metrics if ``auto_detect``. The name of a
    metric that cannot be kept is logged once.

    Values go to the log, one line each, unless ``expose`` was called: then they are series.
    """

    log: MetricLog
    auto_detect: bool
    declared: dict[str, Declaration] = field(factory=dict, init=False)
    _families: dict[str, Family] | None = field(default=None, init=False)
    _owners: dict[str, str] = field(factory=dict, init=False)
    _told: set[str] = field(factory=set, init=False)
    _refused: set[str] = field(factory=set, init=False)

    def expose(self, taken: Iterable[str]) -> None:
        """Keep series for the endpoint; ``taken`` are the names that other metrics have there."""
        self._families = {}
        for each in taken:
            self._owners |= dict.fromkeys((each, each.removesuffix(TOTAL)), f"the server's {each}")

    def declare(self, declarations: Iterable[Declaration]) -> None:
        """Keep these metrics from now on."""
        for declaration in declarations:
            problem = self._problem_with(declaration)
            if problem is None:
                self._declare(declaration)
            else:
                _log.error("Metric {metric} {problem}", metric=declaration.name, problem=problem)

    def update(self, name: str) -> Callable[[Labels, float], None] | None:
        """Return what sets a metric of a model and a level, or None if the endpoint does not have it."""
        family = (self._families or {}).get(name)
        return None if family is None or len(family.declaration.dimensions) != 3 else family.update

    def exposed(self, hostname: str) -> Iterator[Exposed]:
        """Return the families at the endpoint."""
        for family in (self._families or {}).values():
            yield Exposed(family, peers_help(family.declaration), (hostname,))

    def families(self) -> Iterable[Family]:
        """Return the families at the endpoint."""
        return (self._families or {}).values()

    def record(self, metrics: Iterable[Mapping[str, object]]) -> None:
        """Keep the values of one frame."""
        for record in metrics:
            emitted = read(record)
            if emitted is None:
                self._tell(str(record.get("name")), "Failed to parse metrics line: {record}", record=record)
                continue
            declaration = self.declared.get(emitted.name) or self._detect(emitted)
            if declaration is None:
                continue
            labels = labels_for(declaration, emitted.dimensions)
            if labels is None:
                self._tell(
                    emitted.name,
                    "Metric {metric} has dimensions {dimensions}, but {declared} are declared",
                    metric=emitted.name,
                    dimensions=[name for name, _ in emitted.dimensions],
                    declared=declaration.dimensions,
                )
                continue
            self._keep(declaration, labels, emitted)

    def _keep(self, declaration: Declaration, labels: Labels, emitted: Emitted) -> None:
        if self._families is None:
            self.log.tell(declaration, labels, emitted.value, emitted.request_id, emitted.timestamp)
        elif not isinstance(emitted.value, str):
            self._families[declaration.name].update(labels, emitted.value)

    def _detect(self, emitted: Emitted) -> Declaration | None:
        is_wanted = self.auto_detect or emitted.name.startswith(PROFILE_PREFIX)
        if not is_wanted or emitted.name in self._refused:
            return None
        names = (*(name for name, _ in emitted.dimensions), "Hostname")
        declaration = Declaration(emitted.name, emitted.kind, emitted.unit, names)
        is_full = len(self.declared) >= MOST_METRICS
        problem = "is one too many" if is_full else self._problem_with(declaration)
        if problem is None:
            self._declare(declaration)
            return declaration
        if len(self._refused) < MOST_METRICS:
            self._refused.add(emitted.name)
            _log.warn("Metric {metric} cannot be kept: it {problem}", metric=emitted.name, problem=problem)
        return None

    def _problem_with(self, declaration: Declaration) -> str | None:
        """Return why a metric cannot be at the endpoint, or None."""
        if self._families is None:
            return None
        if declaration.name.startswith(_OWN) or not is_exposable(declaration):
            return "has a name that cannot be exposed"
        for name in sorted(names_of(declaration)):
            owner = self._owners.get(name, declaration.name)
            if owner != declaration.name:
                return f"would have the name {name} at the endpoint, as {owner} has"
        return None

    def _declare(self, declaration: Declaration) -> None:
        self.declared[declaration.name] = declaration
        if self._families is not None:
            self._families[declaration.name] = new_family(declaration)
            self._owners |= dict.fromkeys(names_of(declaration), declaration.name)

    def _tell(self, name: str, text: str, **fields: object) -> None:
        if name not in self._told and len(self._told) < MOST_METRICS:
            self._told.add(name)
            _log.warn(text, **fields)
