"""What a client gets, for tests of handlers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from attrs import field

from modelserver.language.attributes import frozen


@frozen
class ModelReply:
    """
    The answer to one request.

    :param headers: by lower-case name.
    :param parts: of an answer that was streamed, in order; ``body`` has them all.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(factory=dict)
    parts: Sequence[bytes] = ()

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8")

    @property
    def is_ok(self) -> bool:
        """Whether the status says that all went well."""
        return 200 <= self.status < 300

    def json(self) -> object:
        """
        Return the value of a body in JSON.

        :raises ValueError: it is none; the text has the body's beginning.
        """
        try:
            value: object = json.loads(self.body)
        except ValueError as error:
            raise ValueError(f"The answer ({self.status}) is no JSON: {self.body[:200]!r}") from error
        return value
