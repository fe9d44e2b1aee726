"""Token authorization of HTTP requests, and the route that renews keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import cast

from attrs import define, field
from twisted.web.server import Request

from modelserver.errors import AccessDenied
from modelserver.interfaces import Reply
from modelserver.rest.binding import Handler
from modelserver.rest.reply import Responder
from modelserver.security.key_file import Key, Kind
from modelserver.security.tokens import Tokens

_RENEWABLE = ("inference", "management")


@define(eq=False)
class TokenGate:
    """Lets requests pass that have the key of their kind. It is asked for each request, so it is quick."""

    tokens: Tokens
    _keys: Mapping[str, Key] = field(init=False)
    _now: Callable[[], float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # The gate only reads it, and by texts that it is given as such.
        self._keys = cast(Mapping[str, Key], self.tokens.keys)
        self._now = self.tokens.now

    def check(self, kind: str, authorization: bytes | None) -> None:
        """
        Let a request of a kind pass.

        :raises AccessDenied: its ``Authorization`` header does not allow it.
        """
        key = self._keys[kind]
        if (
            authorization is not None
            and compare_digest(authorization, key.bearer)
            and self._now() < key.expires
        ):
            return
        self.tokens.check_spelled(cast(Kind, kind), authorization)


@define(eq=False)
class TokenApi:
    """Renews keys. The new one is not in the answer, only in the key file, as in the peer."""

    tokens: Tokens
    responder: Responder

    def handlers(self) -> Mapping[str, Handler]:
        """The handler, by its operation."""
        return {"token": self.renew}

    async def renew(self, request: Request) -> bytes:
        """Renew the key that the query names."""
        kind = request.args.get(b"type", [b""])[0].decode("ascii", "replace")
        if kind not in _RENEWABLE:
            raise AccessDenied("Authentication")
        await self.tokens.renew(cast(Kind, kind))
        return self.responder.render(request, Reply(200, b"\n", headers=()))
