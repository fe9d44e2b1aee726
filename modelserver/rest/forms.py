"""A field of a form, for a request that says only there which model it is for."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import parse_qsl

from multipart import MultipartError, MultipartParser, parse_options_header

from modelserver.errors import BadRequest

FORM, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"
MOST_FIELDS = 1000


def field_of(body: bytes, content_type: bytes, name: str) -> str | None:
    """
    The last value that a form has for ``name``, or None: it has none, or the body is no form.

    :raises BadRequest: the form cannot be read, or has too many fields.
    """
    kind, options = parse_options_header(content_type.decode("latin-1"))
    try:
        if kind.lower() == FORM:
            fields = parse_qsl(
                body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS
            )
            return dict(fields).get(name)
        if kind.lower() == MULTIPART and options.get("boundary"):
            return _part_of(body, options["boundary"], name)
    except (MultipartError, ValueError) as error:
        raise BadRequest(f"The form cannot be read: {error}") from error
    return None


def _part_of(body: bytes, boundary: str, name: str) -> str | None:
    size = len(body) + 1
    parser = MultipartParser(
        BytesIO(body), boundary, len(body), part_limit=MOST_FIELDS, spool_limit=size, memory_limit=size
    )
    found = None
    for part in parser:
        if part.name == name and part.filename is None:
            found = bytes(part.raw).decode("utf-8", "replace")
    return found
