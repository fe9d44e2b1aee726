"""Who may ask: the check that every front makes before a call, whatever protocol it speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Protocol, cast

from attrs import field

from modelserver.errors import AccessDenied
from modelserver.language.attributes import define, frozen
from modelserver.security.key_file import AccessKey, Kind
from modelserver.security.tokens import Tokens


class Authorizer(Protocol):
    """Decides who may use a listener."""

    def check(self, kind: str, authorization: bytes | None) -> None:
        """
        Let a request of a kind (``inference``, ``management``, ``token``) pass.

        :param authorization: the value of the request's ``Authorization`` field, or None without one.
        :raises AccessDenied: the value is not the key of this kind.
        """


@frozen
class AllowAll:
    """Lets every request pass: token authorization is off."""

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Let every request pass."""


@define(eq=False)
class TokenAuthorizer:
    """
    Lets requests pass that have the key of their kind; asked for each request, so ``check`` is quick.

    :param on_refused: told of each request that has not: ``inference_key`` and the like, and the error.
    """

    tokens: Tokens
    on_refused: Callable[[str, AccessDenied], object] | None = None
    _keys: Mapping[str, AccessKey] = field(init=False)
    _seconds: Callable[[], float] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # The mapping is only read here, and by kinds that callers give as plain texts.
        self._keys = cast(Mapping[str, AccessKey], self.tokens.keys)
        self._seconds = self.tokens.seconds

    def check(self, kind: str, authorization: bytes | None) -> None:
        """
        Let a request of a kind pass.

        :raises AccessDenied: the ``Authorization`` field has not the key of this kind, or the key is too old.
        """
        key = self._keys[kind]
        if (
            authorization is not None
            and compare_digest(authorization, key.bearer)
            and self._seconds() < key.deadline
        ):
            return
        try:
            self.tokens.check_spelled(cast(Kind, kind), authorization)
        except AccessDenied as denied:
            if self.on_refused is not None:
                self.on_refused(f"{kind}_key", denied)
            raise
