"""An archive is compared with the SHA-256 that the client gave."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.sources.digest import Sha256

CONTENT = b"archive" * 400_000
DIGITS = sha256(CONTENT).hexdigest()


class Sha256Tests(SynchronousTestCase):
    """Right, wrong, and no digest at all."""

    def test_right_in_either_case(self) -> None:
        for text in (DIGITS, DIGITS.upper()):
            stream = BytesIO(CONTENT)
            stream.seek(7)
            Sha256.parse(text).check(stream)

    def test_wrong(self) -> None:
        with self.assertRaises(ArchiveInvalid) as raised:
            Sha256.parse("0" * 64).check(BytesIO(CONTENT))
        self.assertIn(DIGITS, str(raised.exception))

    def test_folders_have_none(self) -> None:
        self.assertRaises(ArchiveInvalid, Sha256.parse(DIGITS).check, None)

    def test_no_digest(self) -> None:
        for text in ("", "0" * 63, "g" * 64, "0" * 65, "0" * 64 + "\n"):
            self.assertRaises(BadRequest, Sha256.parse, text)
