"""Reads one field of a form: a request to ``/invocations`` may name its model there only."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import unquote_plus

from modelserver.errors import BadRequest

FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
MOST_FIELDS = 1000
LONGEST_FIELD = 4096
"""Bytes of a field, its name included, that could be the wanted one."""


def field_of(body: bytes, content_type: bytes, name: str) -> str | None:
    """
    Return the first value that a form has for ``name``, or None: no such field, or the body is no form.

    :raises BadRequest: the form cannot be read, or has too many fields.
    """
    # Loaded for the first request that does not name its model otherwise.
    from multipart import MultipartError, parse_options_header

    kind, options = parse_options_header(content_type.decode("latin-1"))
    try:
        if kind.lower() == FORM:
            return _value_of(body, name)
        if kind.lower() == MULTIPART and options.get("boundary"):
            return _part_of(body, options["boundary"], name)
    except (MultipartError, ValueError) as error:
        raise BadRequest(f"The form cannot be read: {error}") from error
    return None


def _value_of(body: bytes, name: str) -> str | None:
    """Decode only fields that could be the wanted one: the others may be large."""
    fields = body.split(b"&", MOST_FIELDS)
    if len(fields) > MOST_FIELDS:
        raise ValueError(f"it has more than {MOST_FIELDS} fields")
    for field in fields:
        key, _, value = field.partition(b"=")
        if len(field) <= LONGEST_FIELD and unquote_plus(key.decode("utf-8", "replace")) == name:
            return unquote_plus(value.decode("utf-8", "replace"))
    return None


def _part_of(body: bytes, boundary: str, name: str) -> str | None:
    if name.encode() not in body:
        return None
    from multipart import MultipartParser

    size = len(body) + 1
    parser = MultipartParser(
        BytesIO(body), boundary, len(body), part_limit=MOST_FIELDS, spool_limit=size, memory_limit=size
    )
    found = None
    for part in parser:
        if found is None and part.name == name and part.filename is None:
            found = bytes(part.raw).decode("utf-8", "replace")
    return found
