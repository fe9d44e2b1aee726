"""Which prediction a request target asks for: reads it by the prediction rows of the table of routes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from attrs import field

from modelserver.language.attributes import define
from modelserver.protocol.frames import EXPLAIN, NO_PATH, QUERY
from modelserver.rest.route import Asked, PredictionRule, Route

_VARIABLE = re.compile(r"\{(\w+)\}(.?)")


class PredictionTarget(NamedTuple):
    """
    What a request target asks of a model.

    :param name: the model, or None when the request's body or the server's models have to tell; an empty name
        in the query only says that the body does not.
    :param version: the version, or None for the default one.
    :param extra: see ``modelserver.jobs.Inputs``.
    :param flags: see ``modelserver.jobs.Inputs``.
    :param key_kind: the kind of key that the route asks for, or None: ``Route.key_kind``.
    :param asked: what the name is a name of.
    """

    name: str | None
    version: str | None = None
    extra: bytes = b""
    flags: int = 0
    key_kind: str | None = "inference"
    asked: Asked = Asked.MODEL


class _Row(NamedTuple):
    pattern: re.Pattern[str]
    route: Route
    rule: PredictionRule


@define(eq=False)
class PredictionGrammar:
    """
    Reads request targets by rows of the table; the first row that matches decides.

    A path is percent-decoded, then matched; slashes at its end do not count.

    :param routes: those of the listener's dialect; rows without a ``prediction`` are left out.
    """

    routes: Iterable[Route]
    _rows: Mapping[str, Sequence[_Row]] = field(init=False)
    """The rows that can match a path, by its first segment; ``""``: those for every other segment."""

    def __attrs_post_init__(self) -> None:
        rows = [
            _Row(_pattern(route, route.prediction), route, route.prediction)
            for route in self.routes
            if route.prediction is not None
        ]
        firsts = [row.route.first_segment for row in rows]
        self._rows = {
            first: [row for row, own in zip(rows, firsts, strict=True) if own == first or own.startswith("{")]
            for first in ("", *firsts)
            if not first.startswith("{")
        }

    def resolve(self, target: bytes) -> PredictionTarget | None:
        """
        Return the prediction that a request target asks for, or None when it asks for none.

        :param target: path and query as they stand in the request line.
        """
        path, _, query = target.partition(b"?")
        found = self._find(path)
        return None if found is None else _target(found[1], query, found[0])

    def template_of(self, target: bytes) -> str:
        """Return the path of the row that decides about a request target; empty: there is none."""
        found = self._find(target.partition(b"?")[0])
        return "" if found is None else found[0].route.path

    def _find(self, path: bytes) -> tuple[_Row, dict[str, str]] | None:
        """Return the row that decides about a path, and what its variables are."""
        try:
            decoded = unquote(path.decode("ascii"), errors="strict")
        except UnicodeError:
            return None
        if "\0" in decoded:
            return None
        decoded = decoded.rstrip("/")
        first = decoded[1:].partition("/")[0]
        for row in self._rows.get(first) or self._rows.get(first.lower()) or self._rows[""]:
            found = row.pattern.fullmatch(decoded)
            if found is not None:
                variables = found.groupdict()
                if variables.get("model_name") not in row.rule.reserved_names:
                    return row, variables
        return None


def _pattern(route: Route, rule: PredictionRule) -> re.Pattern[str]:
    """Compile a path of the table: a variable has no slash, but may hold the character that ends it."""

    def expression(variable: re.Match[str]) -> str:
        name, end = variable.groups()
        if name == "rest":
            return "(?P<rest>.+)"
        count = "*" if name == "model_version" and rule.takes_empty_version else "+"
        return f"(?P<{name}>[^/]{count}){re.escape(end)}"

    first = route.first_segment
    path = _VARIABLE.sub(expression, route.path)
    return re.compile(path.replace(first, f"(?i:{first})", 1) if rule.ignores_case else path, re.DOTALL)


def _target(variables: dict[str, str], query: bytes, row: _Row) -> PredictionTarget:
    rule = row.rule
    name, version, rest = (variables.get(each) for each in ("model_name", "model_version", "rest"))
    if rule.asked is Asked.WORKFLOW:
        name, version = variables["workflow_name"], (rest or "").partition("/")[0] or None
    extra = b""
    flags = (EXPLAIN if rule.explains else 0) | (0 if rule.tells_path else NO_PATH)
    if rule.passes_query:
        fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        if name is None:
            name = next((value for field, value in fields if field == "model_name"), None)
        extra, flags = json.dumps({"query": fields}).encode(), flags | QUERY
    elif rule.passes_rest:
        version, extra = version or None, json.dumps({"headers": {"url_path": rest}}).encode()
    return PredictionTarget(name, version, extra, flags, row.route.key_kind, rule.asked)
