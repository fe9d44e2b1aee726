"""The SHA-256 that a registration may demand of its archive."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from attrs import frozen
from twisted.internet.defer import Deferred

from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.interfaces import InThread

_CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@frozen
class Sha256:
    """
    The SHA-256 that an archive should have.

    :param digits: 64 hexadecimal digits, lower case.
    """

    digits: str

    @classmethod
    def parse(cls, text: str) -> Sha256:
        """
        Read hexadecimal digits of either case.

        :raises BadRequest: the text is not a SHA-256.
        """
        if not _SHA256.fullmatch(text.lower()):
            raise BadRequest("Parameter sha256 must be 64 hexadecimal digits.")
        return cls(text.lower())

    def verify(self, path: Path, in_thread: InThread) -> Deferred[None]:
        """
        Compare the digest with that of a file.

        :raises ArchiveInvalid: the file has another digest, or is a folder, which has none.
        """
        return Deferred.fromCoroutine(self._verify(path, in_thread))

    async def _verify(self, path: Path, in_thread: InThread) -> None:
        found = await in_thread(_digits, path)
        if found is None:
            raise ArchiveInvalid("Parameter sha256 was given, but the model is a folder, which has none.")
        if found != self.digits:
            raise ArchiveInvalid(f"The sha256 of the archive is {found}, not {self.digits}.")


def _digits(path: Path) -> str | None:
    if path.is_dir():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
