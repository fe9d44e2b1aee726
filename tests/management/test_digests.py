"""A registration may say which SHA-256 its archive has."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from shutil import make_archive

from twisted.internet.defer import Deferred

from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.management.requests import RegisterRequest
from modelserver.spec import VersionSpec
from tests.harness.management_case import ManagementCase


class DigestTests(ManagementCase):
    """An archive that is not the one that was meant is refused, and nothing is left."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("unzipped", "zipped")
        made = make_archive(str(self.on.folder / "zipped"), "zip", self.on.store / "unzipped")
        self.archive = Path(made).rename(self.on.store / "zipped.mar")
        self.digits = sha256(self.archive.read_bytes()).hexdigest()

    def ask(self, digits: str, url: str = "zipped.mar") -> Deferred[VersionSpec]:
        """Register without workers."""
        return Deferred.fromCoroutine(self.on.management.register(RegisterRequest(url, sha256=digits)))

    def test_right_in_either_case(self) -> None:
        self.assertEqual(self.successResultOf(self.ask(self.digits.upper())).name, "zipped")

    def test_wrong(self) -> None:
        error = self.failureResultOf(self.ask("0" * 64), ArchiveInvalid).value
        self.assertIn(self.digits, str(error))
        self.assertEqual(self.on.left_on_disk(), [])
        self.assertTrue(self.archive.exists())

    def test_wrong_deletes_a_download(self) -> None:
        far = self.on.store.parent / "far.mar"
        far.write_bytes(self.archive.read_bytes())
        self.on.downloads.files["http://h/far.mar"] = far
        self.failureResultOf(self.ask("0" * 64, "http://h/far.mar"), ArchiveInvalid)
        self.assertFalse((self.on.store / "far.mar").exists())
        self.assertEqual(self.on.left_on_disk(), [])

    def test_folders_have_none(self) -> None:
        self.failureResultOf(self.ask(self.digits, "noop.mar"), ArchiveInvalid)

    def test_no_digest_is_told_before_anything_is_fetched(self) -> None:
        self.failureResultOf(self.ask("abc", "http://h/far.mar"), BadRequest)
