"""The keys of a server: made at its start, renewed on request, or given by its operator and watched."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from hmac import compare_digest
from pathlib import Path

from attrs import evolve, field
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from modelserver.errors import AccessDenied, BadRequest
from modelserver.interfaces import InThread
from modelserver.language.attributes import define
from modelserver.security.key_file import (
    KINDS,
    NEVER,
    AccessKey,
    KeyFileInvalid,
    Kind,
    read_keys,
    remove_own,
    render_keys,
    write_private,
)

KEY_BYTES = 16
"""128 bits; the peer's keys have 48."""
SHORTEST_GIVEN = 16
"""Characters below which a key that an operator gives is warned of."""

_SCHEME = b"Bearer"
_log = Logger()


@define(eq=False)
class Tokens:
    """
    Owns the keys.

    Keys of the operator's file stay as they are until that file changes; for each kind that it lacks, a key
    is made, which goes into the server's own file.

    :param file: the server's own key file; removed at the end.
    :param given: the operator's file or folder of keys, or None.
    :param lifetime: seconds that a made key is valid; the key that renews the others does not expire.
    :param now: seconds since the epoch, for what files say.
    :param seconds: those of a monotonic clock, which decides when a key has expired.
    :param keys: the valid keys, by kind. Only this object changes the mapping.
    """

    file: Path
    given: Path | None
    lifetime: float
    now: Callable[[], float]
    seconds: Callable[[], float]
    entropy: Callable[[int], bytes]
    in_thread: InThread
    keys: dict[Kind, AccessKey] = field(factory=dict, init=False)
    _given_keys: Mapping[Kind, AccessKey] = field(factory=dict, init=False)
    _written: tuple[int, int] | None = field(default=None, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)

    def start(self) -> None:
        """
        Read the given keys, make the others, and write the key file. Blocks.

        :raises KeyFileInvalid: the given keys cannot be read, or the key file cannot be written.
        """
        self._take(self._read_given())
        try:
            self._write()
        except OSError as why:
            raise KeyFileInvalid(
                f"the key file {self.file} cannot be written: {why.strerror}. Start in a folder that can be "
                "written to, name a file with all three keys (token_file), or ask for no keys "
                "(disable_token_authorization=true)"
            ) from why

    def _read_given(self) -> Mapping[Kind, AccessKey]:
        if self.given is None:
            return {}
        keys = read_keys(self.given)
        if len(keys) < len(KINDS) and self.given.absolute() == self.file.absolute():
            raise KeyFileInvalid(f"{self.given} lacks keys, and the server would write over it")
        return keys

    def _take(self, given: Mapping[Kind, AccessKey]) -> None:
        for kind, key in given.items():
            if len(key.secret) < SHORTEST_GIVEN:
                _log.warn("The {kind} key of token_file is short, and could be guessed.", kind=kind)
        before, self._given_keys = self._given_keys, given
        for kind in KINDS:
            if kind in given:
                if given[kind] != before.get(
                    kind
                ):  # else it has its deadline, whatever the time of day is now
                    self.keys[kind] = self._dated(given[kind])
            elif kind not in self.keys or kind in before:
                self.keys[kind] = self._new_key(kind)

    def _new_key(self, kind: Kind) -> AccessKey:
        secret = base64.urlsafe_b64encode(self.entropy(KEY_BYTES)).rstrip(b"=").decode("ascii")
        return self._dated(AccessKey(secret, NEVER if kind == "token" else self.now() + self.lifetime))

    def _dated(self, key: AccessKey) -> AccessKey:
        """Return a key with its deadline: from now on, corrections of the time of day do not matter to it."""
        return evolve(key, deadline=self.seconds() + (key.expires - self.now()))

    def _write(self) -> None:
        """Write the key file, unless every key is in the operator's already."""
        if len(self._given_keys) < len(KINDS):
            self._written = write_private(self.file, render_keys(self.keys), self.entropy(8).hex())

    async def reload(self) -> None:
        """Read the operator's keys again; where the file cannot be read, the keys stay as they are."""
        if self.given is None:
            return
        async with self._turn:
            try:
                given = await self.in_thread(self._read_given)
                if given != self._given_keys:
                    self._take(given)
                    await self.in_thread(self._write)
                    _log.info("The keys of {file} were read again.", file=str(self.given))
            except (KeyFileInvalid, OSError) as why:
                _log.error("The keys stay as they were: {why}", why=str(why))

    async def renew(self, kind: Kind) -> None:
        """
        Replace a key by a new one, which goes into the key file.

        :raises BadRequest: the key is the operator's.
        :raises OSError: the key file cannot be written; the key stays as it was.
        """
        async with self._turn:
            if kind in self._given_keys:
                raise BadRequest(f"The {kind} key is set by token_file; it is renewed by changing that file.")
            before = self.keys[kind]
            self.keys[kind] = self._new_key(kind)
            try:
                await self.in_thread(self._write)
            except OSError:
                self.keys[kind] = before
                raise

    def check_spelled(self, kind: Kind, authorization: bytes | None) -> None:
        """
        Let a header pass that has the key in any spelling: there may be more than one space.

        :raises AccessDenied: the header is absent, has another scheme or key, or the key is too old.
        """
        key = self.keys[kind]
        words = (authorization or b"").split()
        is_bearer = len(words) == 2 and words[0] == _SCHEME
        bearer = b" ".join(words) if is_bearer else b""
        if not compare_digest(bearer, key.bearer) or self.seconds() >= key.deadline:
            raise AccessDenied("Authentication" if kind == "token" else "Authorization")

    def stop(self) -> None:
        """Remove the key file, unless another process has replaced it."""
        if self._written is not None:
            remove_own(self.file, self._written)
            self._written = None
