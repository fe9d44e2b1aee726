"""Reads the parameters of calls from queries, forms and JSON bodies."""

from __future__ import annotations

from urllib.parse import parse_qsl

from modelserver.errors import BadRequest
from modelserver.management.call_parameters import Fields, Values
from modelserver.rest.lenient_json import read_object

JSON, FORM = "application/json", "application/x-www-form-urlencoded"

_MOST_FIELDS = 1000
LONGEST_FIELDS = 64 * 1024
"""Bytes that the parameters of a call may have in its body: reading more would hold up everybody."""


def read_query(query: bytes) -> Values:
    """
    Read the parameters of a query string; of a repeated parameter the first value counts.

    :raises BadRequest: the query has too many parameters.
    """
    try:
        pairs = parse_qsl(
            query.decode("utf-8", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise BadRequest(f"The parameters cannot be read: {error}.") from error
    return dict(reversed(pairs))


def read_fields(query: bytes, content_type: bytes, body: bytes, strict: bool) -> Fields:
    """
    Read the parameters of a call that may have them in its body.

    A JSON body counts instead of the query, a form beside and after it, any other body not at all.

    :raises BadRequest: the body cannot be read, or is longer than any parameters are.
    """
    kind = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if kind in (JSON, FORM) and len(body) > LONGEST_FIELDS:
        raise BadRequest(f"The parameters in the body are longer than {LONGEST_FIELDS} bytes.")
    if kind == JSON:
        return Fields(read_object(body), strict, typed=True)
    values = read_query(query)
    if kind == FORM:
        values = {**read_query(body), **values}
    return Fields(values, strict)
