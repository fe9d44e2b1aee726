"""The route that renews keys (TorchServe's token authorization)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from twisted.web.server import Request

from modelserver.errors import AccessDenied
from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.rest.binding import Operation
from modelserver.rest.reply import KleinResponder
from modelserver.security.key_file import Kind
from modelserver.security.tokens import Tokens

_RENEWABLE = ("inference", "management")


@frozen(eq=False)
class TokenApi:
    """
    Renews keys.

    As in TorchServe, the new key is not in the answer, only in the key file:
    https://github.com/pytorch/serve/blob/master/docs/token_authorization_api.md
    """

    tokens: Tokens
    responder: KleinResponder

    def operations(self) -> Mapping[str, Operation]:
        """Return the function that answers ``token``."""
        return {"token": self.renew}

    async def renew(self, request: Request) -> bytes:
        """Renew the key that the query names."""
        kind = request.args.get(b"type", [b""])[0].decode("ascii", "replace")
        if kind not in _RENEWABLE:
            raise AccessDenied("Authentication")
        await self.tokens.renew(cast(Kind, kind))
        return self.responder.render(request, Reply(200, b"\n", headers=()))
