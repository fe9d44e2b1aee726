"""What an inference URL means: which model, which version, and what the handler is told beside the body."""

from __future__ import annotations

import json
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from modelserver.protocol.frames import EXPLAIN, QUERY


class Prediction(NamedTuple):
    """
    A request for a model.

    :param name: the model, or None when the request's body or the server's models have to tell.
    :param extra: see ``modelserver.jobs.Inputs``.
    """

    name: str | None
    version: str | None = None
    extra: bytes = b""
    flags: int = 0


_KSERVE1 = re.compile(r"/v1/models/([^/:]+):(predict|explain)")
_KSERVE2 = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/(infer|explain)")


def resolve(target: bytes, dialect: str = "torchserve") -> Prediction | None:
    """
    The prediction that a request target asks for, or None when it asks for none.

    :param target: path and query as they stand in the request line.
    """
    path, _, query = target.partition(b"?")
    try:
        decoded = unquote(path.decode("ascii"), errors="strict")
    except UnicodeError:
        return None
    if "\0" in decoded:
        return None
    parts = decoded.rstrip("/").split("/")[1:]
    found = _kserve(decoded.rstrip("/")) if dialect == "torchserve" else None
    return found or _by_segments(parts, query.decode("latin-1"), dialect)


def _kserve(path: str) -> Prediction | None:
    if first := _KSERVE1.fullmatch(path):
        return Prediction(first[1], None, *_explained(first[2] == "explain"))
    if second := _KSERVE2.fullmatch(path):
        return Prediction(second[1], second[2], *_explained(second[3] == "explain"))
    return None


def _explained(explain: bool) -> tuple[bytes, int]:
    return b"", EXPLAIN if explain else 0


def _by_segments(parts: list[str], query: str, dialect: str) -> Prediction | None:
    is_mms = dialect == "mms"
    match parts:
        case ["predictions", name, *rest] if name:
            return _named(name, [] if is_mms else rest, 0)
        case ["explanations", name, *rest] if name and not is_mms:
            return _named(name, rest, EXPLAIN)
        case ["invocations"]:
            return _with_query(None, None, query)
        case ["models", name, "invoke"] if name:
            return _with_query(name, None, query)
        case [name, "predict"] if name:
            return _with_query(name, None, query)
        case [name, version, "predict"] if name and not is_mms and name not in ("v1", "v2"):
            return _with_query(name, version, query)
    return None


def _named(name: str, rest: list[str], flags: int) -> Prediction:
    version = rest[0] if rest and rest[0] else None
    url_path = "/".join(rest[1:])
    extra = json.dumps({"headers": {"url_path": url_path}}).encode() if url_path else b""
    return Prediction(name, version, extra, flags)


def _with_query(name: str | None, version: str | None, query: str) -> Prediction:
    fields = parse_qsl(query, keep_blank_values=True)
    if name is None:
        name = next((value for field, value in fields if field == "model_name" and value), None)
    return Prediction(name, version, json.dumps({"query": fields}).encode(), QUERY)
