"""From a request's bytes to the row that a handler gets, by the peers' rules for content types and forms."""

from __future__ import annotations

import json
import sys
from io import BytesIO
from urllib.parse import parse_qsl

from modelserver import frames

FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
MOST_FIELDS = 1000
"""Fields or parts of one form."""
MOST_HEADS = 1024
"""Header blocks whose parse is remembered."""

Row = dict[str, object]
PLAIN = {"url_path": "", "explain": "False"}


class BadForm(Exception):
    """A form that cannot be parsed, or is over a limit; the text is for the client."""


class Head:
    """A client's headers: by name in their original case, the last of a name wins."""

    __slots__ = ("content_type", "headers", "kind")

    def __init__(self, block: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.content_type = ""
        for line in block.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                self.headers[name] = value = value.strip()
                if name.lower() == "content-type":
                    self.content_type = value
        self.kind = self.content_type.partition(";")[0].strip().lower()


class Decoder:
    """
    Makes rows, and remembers the header blocks that it has seen.

    :param decodes: the setting ``decode_input_request``.
    """

    def __init__(self, decodes: bool) -> None:
        self._decodes = decodes
        self._heads: dict[bytes, Head] = {}

    def head(self, block: bytes) -> Head:
        """The parsed header block; the same object for the same bytes."""
        found = self._heads.get(block)
        if found is None:
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            found = self._heads[block] = Head(block)
        return found

    def headers(self, head: Head, item: frames.Item) -> dict[str, str]:
        """What the handler sees as request headers: the client's, and what the route adds."""
        headers = {**head.headers, **PLAIN}
        if item.flags or item.extra:
            if item.flags & frames.EXPLAIN:
                headers["explain"] = "True"
            if item.flags & frames.DESCRIBE:
                headers["describe"] = "True"
            if item.extra:
                headers.update(json.loads(item.extra).get("headers", {}))
        return headers

    def row(self, head: Head, item: frames.Item) -> tuple[Row, dict[str, list[object]] | None]:
        """
        The handler's row, and all values of the names that a form repeats.

        :raises BadForm: the body is not the form that its content type says.
        """
        kind = head.kind
        repeated = None
        if kind == FORM:
            row, repeated = _keep_last(_urlencoded(item.body))
        elif kind == MULTIPART:
            row, repeated = _keep_last(self._multipart(head.content_type, item.body))
        else:
            row = {"body": self.decode(kind, item.body)}
        if item.flags & frames.QUERY:
            query = json.loads(item.extra).get("query", [])
            row = {**{name: bytearray(value, "utf-8") for name, value in query}, **row}
        return row, repeated

    def decode(self, kind: str, body: memoryview) -> object:
        """A body as its content type wants it; bytes where that fails or is not wanted."""
        raw = bytearray(body)
        if not self._decodes or not (kind == "application/json" or kind.startswith("text")):
            return raw
        try:
            return json.loads(raw) if kind == "application/json" else raw.decode()
        except (ValueError, RecursionError) as error:
            print(f"A body of type {kind} could not be decoded: {error}", file=sys.stderr)
            return raw

    def _multipart(self, content_type: str, body: memoryview) -> list[tuple[str, object]]:
        import multipart

        try:
            _, options = multipart.parse_options_header(content_type)
            parser = multipart.MultipartParser(
                BytesIO(body),
                options.get("boundary", ""),
                len(body),
                part_limit=MOST_FIELDS,
                spool_limit=len(body) + 1,
                memory_limit=len(body) + 1,
            )
            return [(part.name, self._part(part)) for part in parser]
        except (multipart.MultipartError, ValueError) as error:
            raise BadForm(f"The multipart body cannot be read: {error}") from error

    def _part(self, part: _Part) -> object:
        raw = part.raw
        if part.filename is None:
            return bytearray(raw)
        kind = (part.content_type or "").partition(";")[0].strip().lower()
        return self.decode(kind, memoryview(raw))


class _Part:
    """What is used of ``multipart.MultipartPart``."""

    name: str
    filename: str | None
    content_type: str | None
    raw: bytes


def _urlencoded(body: memoryview) -> list[tuple[str, object]]:
    try:
        fields = parse_qsl(bytes(body), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise BadForm(f"The form cannot be read: {error}") from error
    return [(name.decode("utf-8", "replace"), bytearray(value)) for name, value in fields]


def _keep_last(fields: list[tuple[str, object]]) -> tuple[Row, dict[str, list[object]] | None]:
    row = dict(fields)
    if len(row) == len(fields):
        return row, None
    repeated: dict[str, list[object]] = {}
    for name, value in fields:
        repeated.setdefault(name, []).append(value)
    return row, repeated
