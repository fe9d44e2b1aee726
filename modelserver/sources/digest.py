"""The SHA-256 that a registration may demand of its archive."""

from __future__ import annotations

import hashlib
import re
from typing import BinaryIO

from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.language.attributes import frozen

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

    def check(self, stream: BinaryIO | None) -> None:
        """
        Compare the digest with that of an open file, from its start. Blocks.

        The caller goes on with the same open file, so that what was hashed is what is loaded.

        :param stream: the file, or None for a folder.
        :raises ArchiveInvalid: the file has another digest, or is a folder, which has none.
        """
        if stream is None:
            raise ArchiveInvalid("Parameter sha256 was given, but the model is a folder, which has none.")
        digest = hashlib.sha256()
        stream.seek(0)
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
        if digest.hexdigest() != self.digits:
            raise ArchiveInvalid(f"The sha256 of the archive is {digest.hexdigest()}, not {self.digits}.")
