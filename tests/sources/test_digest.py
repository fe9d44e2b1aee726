"""An archive is compared with the SHA-256 that the client gave."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.sources.digest import Sha256
from tests.harness.sources import at_once


class Sha256Tests(SynchronousTestCase):
    """Right, wrong, and no digest at all."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_bytes(b"archive" * 400_000)
        self.digits = sha256(b"archive" * 400_000).hexdigest()

    def test_right_in_either_case(self) -> None:
        for text in (self.digits, self.digits.upper()):
            self.assertIs(self.successResultOf(Sha256.parse(text).verify(self.path, at_once)), None)

    def test_wrong(self) -> None:
        waiting = Sha256.parse("0" * 64).verify(self.path, at_once)
        self.assertIn(self.digits, str(self.failureResultOf(waiting, ArchiveInvalid).value))

    def test_folders_have_none(self) -> None:
        waiting = Sha256.parse(self.digits).verify(self.path.parent, at_once)
        self.failureResultOf(waiting, ArchiveInvalid)

    def test_no_digest(self) -> None:
        for text in ("", "0" * 63, "g" * 64, "0" * 65, "0" * 64 + "\n"):
            self.assertRaises(BadRequest, Sha256.parse, text)
