"""``modelserver.archive.unpack`` with archives that were damaged on the way."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.unpack import unpack
from modelserver.errors import ServingError
from tests.harness.hostile_archives import SMALL


def valid_archives() -> list[bytes]:
    """One archive of each kind that is fine, to be damaged."""
    container = io.BytesIO()
    with zipfile.ZipFile(container, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("h.py", "def handle(data, context): ...\n" * 20)
        archive.writestr("MAR-INF/MANIFEST.json", '{"model": {}}')
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as files:
        for name in ("m/h.py", "m/" + "é" * 60 + "/w.pt"):
            info = tarfile.TarInfo(name)
            info.size = 600
            files.addfile(info, io.BytesIO(bytes(range(200)) * 3))
    return [container.getvalue(), gzip.compress(tar.getvalue()), tar.getvalue()]


ZIP, TAR_GZ, TAR = valid_archives()


class DamagedArchiveTests(SynchronousTestCase):
    """However an archive is damaged, it is unpacked or refused; no other exception, nothing left over."""

    def check(self, content: bytes) -> None:
        """Unpack into a fresh folder."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "m.mar").write_bytes(content)
            try:
                unpack(folder / "m.mar", folder / "target", SMALL)
            except ServingError:
                self.assertEqual([path.name for path in folder.iterdir()], ["m.mar"])
            else:
                self.assertEqual({path.name for path in folder.iterdir()}, {"m.mar", "target"})

    changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)
    often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

    @often
    @given(changes)
    def test_zip(self, changes: list[tuple[int, int]]) -> None:
        self.check(self.damage(ZIP, changes))

    @often
    @given(changes)
    def test_tar(self, changes: list[tuple[int, int]]) -> None:
        self.check(gzip.compress(self.damage(TAR, changes), 1))

    @often
    @given(changes)
    def test_gzip(self, changes: list[tuple[int, int]]) -> None:
        self.check(self.damage(TAR_GZ, changes))

    @often
    @given(st.sampled_from([ZIP, TAR_GZ]), st.floats(0, 1))
    def test_cut(self, archive: bytes, left: float) -> None:
        self.check(archive[: int(len(archive) * left)])

    def damage(self, archive: bytes, changes: list[tuple[int, int]]) -> bytes:
        """``archive`` with some bytes overwritten."""
        content = bytearray(archive)
        for place, value in changes:
            content[place % len(content)] = value
        return bytes(content)
