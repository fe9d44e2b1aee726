"""From a request's bytes to the row that a handler gets, by the peers' rules for content types and forms."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from io import BytesIO
from typing import NamedTuple
from urllib.parse import parse_qsl

from modelserver.child.data.infer_answer import InferEncoder
from modelserver.child.data.infer_request import InferDocument
from modelserver.protocol import frames
from modelserver.protocol.trace_line import LENGTH as TRACE_LINE
from modelserver.protocol.trace_line import ends_with_one
from modelserver.protocol.wire_format import LENGTH, map_entry, spans

FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
MOST_FIELDS = 1000
"""Fields or parts of one form."""
INPUTS_TAG = 3 << 3 | LENGTH
"""The tag of a message's inputs: ``PredictionsRequest.input`` of TorchServe."""
MOST_HEADS = 1024
"""Header blocks whose parse is remembered; likewise, beginnings of messages."""
LONGEST_BEGINNING = 256
"""Bytes of such a beginning."""

_CONTENT_TYPE = re.compile(rb"^content-type:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
"""There is one at most: the server refuses a second."""

Row = dict[str, object]
PATH = "url_path"
PLAIN = {PATH: "", "explain": "False"}
"""What TorchServe's predictions and explanations add to the client's headers; queries, workflows do not."""


MESSAGES = frames.INPUTS | frames.INFER
ANSWERS = frames.INFER | frames.REPLIES
"""Of what is asked so, the answer may be a message."""
"""The body is a gRPC message, and its headers are what its client has sent with it."""
NO_TYPE = MESSAGES | frames.RAW_OR_FIELDS
"""The body is what these say, whatever content type a header says."""
NOT_PLAIN = frames.QUERY | MESSAGES | frames.RAW_OR_FIELDS | frames.BARE


class BadForm(Exception):
    """A form or message that cannot be read, or is over a limit; the text is for the client."""


class HeaderBlock:
    """
    A client's headers, as far as somebody asks for them.

    :ivar is_opaque: the body is bytes to everybody but the handler.
    """

    __slots__ = ("_block", "_headers", "content_type", "form", "is_opaque", "kind")

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._headers: dict[str, str] | None = None
        found = _CONTENT_TYPE.search(block)
        self.content_type = found[1].decode("latin-1").strip() if found else ""
        self.kind = self.content_type.partition(";")[0].strip()
        self.form = _form_of(self.content_type) if found else ""
        self.is_opaque = not self.form and not _is_decoded(self.kind)

    def headers(self, block: bytes) -> dict[str, str]:
        """
        By name in their original case, the last of a name wins.

        :param block: this block, or one with a line behind it that says nothing of the body.
        """
        if self._headers is None:
            self._headers = _headers_in(self._block)
        if len(block) == len(self._block):
            return self._headers
        return self._headers | _headers_in(block[len(self._block) :])


def _headers_in(block: bytes) -> dict[str, str]:
    pairs = [line.partition(":") for line in block.decode("latin-1").split("\r\n")]
    return {name: value.strip() for name, colon, value in pairs if colon}


class Decoded(NamedTuple):
    """
    A request as its handler gets it.

    :param repeated: all values of the names that a form repeats, or None.
    :param kinds: the content type of each field of a form, or None: the body is the only field.
    """

    row: Row
    repeated: dict[str, list[object]] | None = None
    kinds: dict[str, str] | None = None


# A named tuple's own constructor is a function of Python's; this is made for every request.
_decoded: Callable[[tuple[Row, None, dict[str, str] | None]], Decoded] = partial(tuple.__new__, Decoded)

_UNTYPED = {"body": ""}
Field = tuple[str, str, object]
"""A field's name, its content type and its value."""


class Decoder:
    """
    Makes rows, and remembers the header blocks that it has seen.

    :param decodes: the setting ``decode_input_request``.
    :param plain: headers that every prediction has beside its client's.
    :param opens_tensors: an envelope asks for the tensors of messages, rather than a handler.
    :param version: of the model.
    """

    def __init__(
        self,
        decodes: bool,
        plain: Mapping[str, str] = PLAIN,
        opens_tensors: bool = False,
        version: str = "",
    ) -> None:
        self._decodes = decodes
        self._opens_tensors = opens_tensors
        self._version = version
        self._plain = plain
        self._heads: dict[bytes, HeaderBlock] = {}

    def head(self, block: bytes) -> HeaderBlock:
        """
        The parsed header block; the same object for the same bytes.

        Where a request is traced, the last line never comes again: it is that of what stands before it.
        """
        found = self._heads.get(block)
        if found is None:
            if ends_with_one(block):
                return self.head(block[:-TRACE_LINE])
            if len(self._heads) >= MOST_HEADS:
                self._heads.clear()
            found = self._heads[block] = HeaderBlock(block)
        return found

    def headers(
        self, head: HeaderBlock, item: frames.Item, kinds: dict[str, str] | None
    ) -> dict[str, object]:
        """What the handler sees as request headers: its fields' types, the client's, what the route adds."""
        if kinds is None:
            kinds = {"body": head.kind}
        headers: dict[str, object] = {name: {"content-type": kind} for name, kind in kinds.items()}
        headers.update(head.headers(item.head))
        if not item.flags & NOT_PLAIN:
            headers.update(self._plain)
        if item.flags or item.extra:
            if item.flags & frames.EXPLAIN:
                headers["explain"] = "True"
            if item.flags & frames.DESCRIBE:
                headers["describe"] = "True"
            if item.flags & frames.NO_PATH:
                headers.pop(PATH, None)
            if item.extra:
                headers.update(json.loads(item.extra).get("headers", {}))
        return headers

    def row(self, head: HeaderBlock, item: frames.Item) -> Decoded:
        """
        The handler's row.

        :raises BadForm: the body is not the form that its content type says.
        """
        if head.is_opaque and (not item.flags or item.flags == frames.TRACED):  # most, and to cost least
            return _decoded(({"body": bytearray(item.body)}, None, None))
        if item.flags & NO_TYPE:
            return self._message(item) if item.flags & MESSAGES else _undecoded(item)
        if head.form:
            fields = (
                _urlencoded(item.body) if head.form == FORM else self._multipart(head.content_type, item.body)
            )
        elif item.flags & frames.QUERY:
            fields = [("body", head.kind, self.decode(head.kind, item.body))]
        else:
            return _decoded(({"body": self.decode(head.kind, item.body)}, None, None))
        if item.flags & frames.QUERY:
            query = json.loads(item.extra).get("query", [])
            fields = [*((name, "", bytearray(value, "utf-8")) for name, value in query), *fields]
        return _collect(fields)

    def _message(self, item: frames.Item) -> Decoded:
        """
        The row of a gRPC message, whatever content type a header says.

        :raises BadForm: it is none.
        """
        try:
            if item.flags & frames.INFER:
                document = InferDocument(item.body, self._opens_tensors)
                return Decoded({"body": document}, None, {"body": "application/json"})
            row = inputs_of(item.body)
            return _decoded((row, None, dict.fromkeys(row, "")))
        except ValueError as error:
            raise BadForm(str(error)) from error

    def encoder_of(self, row: Row, item: frames.Item) -> InferEncoder | None:
        """What makes the answer to a row; None where it goes as it is."""
        document = row.get("body")
        if item.flags & frames.REPLIES:
            names = json.loads(item.extra)["infer"]
            return InferEncoder(names, self._version, names["is_raw"])
        if not isinstance(document, InferDocument) or item.flags & frames.PASSES:
            return None
        return InferEncoder(document, self._version, document.is_raw)

    def decode(self, kind: str, body: bytes | memoryview) -> object:
        """A body as its content type wants it; bytes where that fails or is not wanted."""
        raw = bytearray(body)
        if not self._decodes or not _is_decoded(kind):
            return raw
        try:
            return json.loads(raw) if kind == "application/json" else raw.decode()
        except (ValueError, RecursionError) as error:
            print(f"A body of type {kind} could not be decoded: {error}", file=sys.stderr)
            return raw

    def _multipart(self, content_type: str, body: bytes | memoryview) -> list[Field]:
        import multipart

        try:
            _, options = multipart.parse_options_header(content_type)
            boundary = options.get("boundary", "")
            body = _with_crlf(body, boundary.encode("latin-1"))
            parser = multipart.MultipartParser(
                BytesIO(body),
                boundary,
                len(body),
                charset="latin-1",  # keeps every byte of a part's head, which some clients write in it
                part_limit=MOST_FIELDS,
                spool_limit=len(body) + 1,
                memory_limit=len(body) + 1,
            )
            return [self._part(part) for part in parser]
        except (multipart.MultipartError, ValueError) as error:
            raise BadForm(f"The multipart body cannot be read: {error}") from error

    def _part(self, part: _Part) -> Field:
        raw = part.raw
        name = _utf8(part.name)
        if part.filename is None:
            return name, "", bytearray(raw)
        kind = (part.content_type or "").partition(";")[0].strip()
        return name, kind, self.decode(kind, memoryview(raw))


class _Part:
    """What is used of ``multipart.MultipartPart``."""

    name: str
    filename: str | None
    content_type: str | None
    raw: bytes


def _is_decoded(kind: str) -> bool:
    """Return whether a handler gets bodies of this content type decoded, unless a setting says no."""
    return kind == "application/json" or kind.startswith("text")


def _undecoded(item: frames.Item) -> Decoded:
    """Return what another handler has answered: bytes without a type, in one field or in several."""
    if not item.flags & frames.FIELDS:
        return Decoded({"body": bytearray(item.body)}, None, _UNTYPED)
    row: Row = {}
    at = 0
    for name, size in json.loads(item.extra)["fields"]:
        row[name] = bytearray(item.body[at : at + size])
        at += size
    return Decoded(row, None, dict.fromkeys(row, ""))


def inputs_of(message: bytes | memoryview) -> Row:
    """
    The inputs of a message, by name, as bytes that the handler may change.

    :raises ValueError: it is none.
    """
    size = len(message)
    known = _BEGINNINGS.get(size)
    if known is not None and bytes(message[: known[1]]) == known[0]:
        return {known[2]: bytearray(message[known[1] :])}
    row: Row = {}
    inputs = at = stop = 0
    name = ""
    for tag, start, end in spans(message, 0, size):
        if tag == INPUTS_TAG:
            name, at, stop = map_entry(message, start, end)
            row[name] = bytearray(message[at:stop])
            inputs += 1
    if inputs == 1 and stop == size and at <= LONGEST_BEGINNING:
        if len(_BEGINNINGS) >= MOST_HEADS:
            _BEGINNINGS.clear()
        _BEGINNINGS[size] = bytes(message[:at]), at, name
    return row


_BEGINNINGS: dict[int, tuple[bytes, int, str]] = {}
"""By the size of a message that ends with its only input: what stands before it, its length, and its name."""


def _form_of(content_type: str) -> str:
    """FORM, MULTIPART, or nothing; a multipart body without a boundary is a plain one, as in the peers."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == MULTIPART:
        return MULTIPART if "boundary=" in parameters.lower() else ""
    return FORM if kind == FORM else ""


def _with_crlf(body: bytes | memoryview, boundary: bytes) -> bytes | memoryview:
    """
    Return a multipart body whose lines end in CRLF; the contents of its parts stay as they are.

    Devices and scripts write LF alone, which the peers take (Netty's ``HttpPostMultipartRequestDecoder``).
    """
    delimiter = b"--" + boundary
    if bytes(body[: len(delimiter) + 1]) != delimiter + b"\n":
        return body
    first, *pieces = re.split(rb"\r?\n" + re.escape(delimiter) + rb"(?=--|[ \t]*\r?\n)", b"\n" + bytes(body))
    rebuilt = [first]
    for piece in pieces:
        head, empty, content = piece.partition(b"\n\n")
        lines = head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        rebuilt.append(lines + b"\r\n\r\n" + content if empty else lines)
    return (b"\r\n" + delimiter).join(rebuilt)[2:]


def _urlencoded(body: bytes | memoryview) -> list[Field]:
    # Latin-1 keeps every byte as it is, which parse_qsl does not for bytes.
    text = bytes(body).decode("latin-1")
    if "=" not in text[text.rfind("&") + 1 :]:
        # What ``curl -d WORD`` sends: the peers leave a last field without a value out.
        text = text[: max(0, text.rfind("&"))]
    try:
        fields = parse_qsl(
            text,
            keep_blank_values=True,
            max_num_fields=MOST_FIELDS,
            encoding="latin-1",
        )
    except ValueError as error:
        raise BadForm(f"The form cannot be read: {error}") from error
    return [(_utf8(name), "", bytearray(value, "latin-1")) for name, value in fields]


def _utf8(text: str) -> str:
    """Return a field's name, of which each character is a byte."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _collect(fields: list[Field]) -> Decoded:
    """Of several fields with one name the last goes into the row; the others are kept beside it."""
    row = {name: value for name, _, value in fields}
    kinds = {name: kind for name, kind, _ in fields}
    if len(row) == len(fields):
        return Decoded(row, None, kinds)
    repeated: dict[str, list[object]] = {}
    for name, _, value in fields:
        repeated.setdefault(name, []).append(value)
    return Decoded(row, repeated, kinds)
