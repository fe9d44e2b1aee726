"""``modelserver.archive.unpack`` against archives that mean harm: each is refused, and nothing is left."""

from __future__ import annotations

import gzip
import stat
import tarfile

from modelserver.archive.unpack import DEFAULT_LIMITS, UnpackLimits, open_archive
from modelserver.errors import ArchiveInvalid
from tests.harness.folder import FolderCase
from tests.harness.hostile_archives import (
    SMALL,
    Maker,
    Part,
    deflated,
    encrypted,
    extended,
    flipped,
    link,
    member,
    named,
    nested_overlap,
    of_two_disks,
    overlapping,
    raw_zip,
    tarred,
    truncated,
    with_bad_checksum,
    with_bad_zip64,
    with_directory_elsewhere,
    with_far_zip64,
    with_negative_size,
    zipped,
)

LINK, DEVICE, FIFO = stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600, stat.S_IFIFO | 0o600
ZEROS = bytes(200_000)

# id, the archive, a part of the reason, limits
CASES: list[tuple[str, Maker, str, UnpackLimits]] = [
    # paths, in both containers
    ("zip-parent", named("../evil"), "leaves the target", DEFAULT_LIMITS),
    ("zip-parent-inside", named("a/../../evil"), "leaves the target", DEFAULT_LIMITS),
    ("zip-parent-at-end", named("a/.."), "leaves the target", DEFAULT_LIMITS),
    ("zip-absolute", named("/tmp/evil"), "absolute", DEFAULT_LIMITS),
    ("zip-absolute-twice", named("//tmp/evil"), "absolute", DEFAULT_LIMITS),
    ("zip-drive", named("C:/evil"), "absolute", DEFAULT_LIMITS),
    ("zip-drive-relative", named("c:evil"), "absolute", DEFAULT_LIMITS),
    ("zip-backslash", named("..\\evil"), "not allowed", DEFAULT_LIMITS),
    ("zip-backslash-share", named("\\\\host\\share"), "not allowed", DEFAULT_LIMITS),
    ("zip-nul", named("h.py\0.txt"), "not allowed", DEFAULT_LIMITS),
    ("zip-no-name", named(""), "not allowed", DEFAULT_LIMITS),
    ("zip-dot", named("."), "not allowed", DEFAULT_LIMITS),
    ("zip-long-path", named("/".join(["d" * 20] * 10)), "too long", SMALL),
    ("zip-deep-path", named("/".join("x" * 65)), "too long", DEFAULT_LIMITS),
    ("zip-long-part", named("x" * 256), "too long", DEFAULT_LIMITS),
    ("zip-huge-name", named("x" * 5000), "too long", DEFAULT_LIMITS),
    ("tar-parent", tarred(member("../evil")), "leaves the target", DEFAULT_LIMITS),
    ("tar-parent-inside", tarred(member("m/../../evil")), "leaves the target", DEFAULT_LIMITS),
    ("tar-absolute", tarred(member("/tmp/evil")), "absolute", DEFAULT_LIMITS),
    ("tar-backslash", tarred(member("m\\..\\..\\evil")), "not allowed", DEFAULT_LIMITS),
    ("tar-extended-parent", tarred(extended(b"16 path=../evil\n"), member("ok")), "leaves", DEFAULT_LIMITS),
    ("tar-extended-nul", tarred(extended(b"12 path=a\0b\n"), member("ok")), "not allowed", DEFAULT_LIMITS),
    ("tar-long-name-parent", tarred(member("L", b"../evil", b"L"), member("ok")), "leaves", DEFAULT_LIMITS),
    ("tar-global-path", tarred(extended(b"10 path=x\n", b"g"), member("ok")), "global", DEFAULT_LIMITS),
    ("tar-not-utf8", tarred(member("\udcff")), "not UTF-8", DEFAULT_LIMITS),
    # links and devices
    ("zip-symlink", lambda: raw_zip(Part(b"l", b"/etc", mode=LINK)), "link", DEFAULT_LIMITS),
    ("zip-device", lambda: raw_zip(Part(b"d", mode=DEVICE)), "device", DEFAULT_LIMITS),
    ("zip-fifo", lambda: raw_zip(Part(b"f", mode=FIFO)), "device", DEFAULT_LIMITS),
    ("tar-symlink", tarred(link("l", "/etc", tarfile.SYMTYPE)), "is a link", DEFAULT_LIMITS),
    (
        "tar-write-through-symlink",
        tarred(link("m", "/tmp", tarfile.SYMTYPE), member("m/evil")),
        "is a link",
        DEFAULT_LIMITS,
    ),
    ("tar-hard-link", tarred(link("l", "/etc/passwd", tarfile.LNKTYPE)), "is a link", DEFAULT_LIMITS),
    ("tar-character-device", tarred(link("d", "", tarfile.CHRTYPE)), "is a device", DEFAULT_LIMITS),
    ("tar-block-device", tarred(link("d", "", tarfile.BLKTYPE)), "is a device", DEFAULT_LIMITS),
    ("tar-fifo", tarred(link("f", "", tarfile.FIFOTYPE)), "is a device", DEFAULT_LIMITS),
    ("tar-sparse", tarred(member("s", b"x", tarfile.GNUTYPE_SPARSE)), "sparse", DEFAULT_LIMITS),
    (
        "tar-extended-sparse",
        tarred(extended(b"22 GNU.sparse.major=1\n"), member("s")),
        "sparse",
        DEFAULT_LIMITS,
    ),
    ("tar-unknown-kind", tarred(member("u", b"", b"Z")), "unknown kind", DEFAULT_LIMITS),
    # the same place twice
    ("zip-duplicate", named("a", "a"), "twice", DEFAULT_LIMITS),
    ("zip-duplicate-dots", named("a/b", "a//./b"), "twice", DEFAULT_LIMITS),
    ("zip-duplicate-case", named("Model.pt", "model.PT"), "twice", DEFAULT_LIMITS),
    ("zip-duplicate-sharp-s", named("straße", "STRASSE"), "twice", DEFAULT_LIMITS),
    ("zip-duplicate-composition", named("caf\u00e9", "cafe\u0301"), "twice", DEFAULT_LIMITS),
    ("zip-file-then-folder", named("a", "a/b"), "twice", DEFAULT_LIMITS),
    ("zip-folder-then-file", named("a/b", "A"), "twice", DEFAULT_LIMITS),
    ("zip-file-then-folder-entry", lambda: raw_zip(Part(b"a"), Part(b"A/", b"")), "twice", DEFAULT_LIMITS),
    ("tar-duplicate", tarred(member("m/a"), member("m/A")), "twice", DEFAULT_LIMITS),
    # places in the container
    ("zip-overlap", overlapping, "overlap", DEFAULT_LIMITS),
    ("zip-overlap-nested", nested_overlap, "overlap", DEFAULT_LIMITS),
    ("zip-overlap-directory", zipped(b"abc", compressed=2000, local_size=3), "overlap", DEFAULT_LIMITS),
    ("zip-offset-beyond", lambda: raw_zip(Part(b"a", offset=99999)), "overlap", DEFAULT_LIMITS),
    ("zip64-offset-beyond", with_far_zip64, "overlap", DEFAULT_LIMITS),
    ("zip64-field-short", with_bad_zip64, "damaged", DEFAULT_LIMITS),
    ("zip-directory-elsewhere", with_directory_elsewhere, "not where it says", DEFAULT_LIMITS),
    ("zip-two-disks", of_two_disks, "one part of several", DEFAULT_LIMITS),
    ("zip-count-too-high", lambda: raw_zip(Part(b"a"), records=2), "truncated", DEFAULT_LIMITS),
    ("zip-count-too-low", lambda: raw_zip(Part(b"a"), Part(b"b"), records=1), "damaged", DEFAULT_LIMITS),
    ("zip-something-follows", lambda: raw_zip(Part(b"a")) + b"tail", "follows its end", DEFAULT_LIMITS),
    ("zip-behind-a-prefix", lambda: b"#!sh\n" + raw_zip(Part(b"a")), "neither a zip", DEFAULT_LIMITS),
    # lies
    ("zip-two-names", lambda: raw_zip(Part(b"a", local_name=b"b")), "differs", DEFAULT_LIMITS),
    ("zip-two-sizes", zipped(b"abc", local_size=4), "differs", DEFAULT_LIMITS),
    ("zip-says-smaller", zipped(ZEROS, size=10), "larger than it says", DEFAULT_LIMITS),
    ("zip-says-larger", zipped(b"abc", size=4000), "damaged", DEFAULT_LIMITS),
    ("zip-stored-two-sizes", lambda: raw_zip(Part(b"a", size=1000)), "two sizes", DEFAULT_LIMITS),
    ("zip-wrong-checksum", zipped(b"abc", checksum=1), "damaged", DEFAULT_LIMITS),
    ("zip-content-follows", zipped(b"abc", body=deflated(b"abc") + b"more"), "follows", DEFAULT_LIMITS),
    ("zip-deflate-cut", zipped(ZEROS, body=deflated(ZEROS)[:-5]), "truncated", DEFAULT_LIMITS),
    ("zip-deflate-garbage", zipped(b"abc", body=b"\xff\xff\xff"), "damaged", DEFAULT_LIMITS),
    ("zip-folder-content", lambda: raw_zip(Part(b"a/", b"x")), "has a content", DEFAULT_LIMITS),
    (
        "zip-folder-as-file",
        lambda: raw_zip(Part(b"a", b"", mode=0o40755)),
        "file and a folder",
        DEFAULT_LIMITS,
    ),
    ("zip-method", lambda: raw_zip(Part(b"a", method=14)), "not supported", DEFAULT_LIMITS),
    ("tar-negative-size", with_negative_size, "negative", DEFAULT_LIMITS),
    ("tar-says-larger", tarred(member("a", b"", size=10**9)), "end marker", DEFAULT_LIMITS),
    ("tar-folder-content", tarred(member("d", b"x", tarfile.DIRTYPE)), "has a content", DEFAULT_LIMITS),
    ("tar-bad-checksum", with_bad_checksum, "damaged", DEFAULT_LIMITS),
    ("tar-extended-no-length", tarred(extended(b"path=x\n"), member("a")), "damaged", DEFAULT_LIMITS),
    ("tar-extended-zero-length", tarred(extended(b"0 path=x\n"), member("a")), "damaged", DEFAULT_LIMITS),
    ("tar-extended-too-long", tarred(extended(b"99 path=x\n"), member("a")), "damaged", DEFAULT_LIMITS),
    ("tar-extended-size", tarred(extended(b"11 size=-1\n"), member("a")), "damaged", DEFAULT_LIMITS),
    # not whole, not readable
    ("empty-file", lambda: b"", "neither a zip", DEFAULT_LIMITS),
    ("garbage", lambda: b"garbage" * 100, "neither a zip", DEFAULT_LIMITS),
    ("plain-tar", lambda: member("a") + bytes(1024), "neither a zip", DEFAULT_LIMITS),
    ("zip-truncated", truncated(zipped(ZEROS), 0.5), "truncated", DEFAULT_LIMITS),
    ("zip-only-magic", lambda: b"PK\3\4", "truncated", DEFAULT_LIMITS),
    ("zip-encrypted", encrypted, "encrypted", DEFAULT_LIMITS),
    ("zip-encrypted-header-only", lambda: raw_zip(Part(b"a", local_flags=1)), "encrypted", DEFAULT_LIMITS),
    ("gzip-truncated", truncated(tarred(member("a", ZEROS)), 0.5), "truncated", DEFAULT_LIMITS),
    ("gzip-trailer-cut", lambda: tarred(member("a"))()[:-4], "truncated", DEFAULT_LIMITS),
    ("gzip-wrong-checksum", flipped(tarred(member("a")), -6), "damaged", DEFAULT_LIMITS),
    ("gzip-of-garbage", lambda: gzip.compress(b"garbage" * 100), "damaged", DEFAULT_LIMITS),
    ("tar-no-end", tarred(member("a"), end=b""), "end marker", DEFAULT_LIMITS),
    ("tar-cut-in-content", tarred(member("a", ZEROS)[:5000], end=b""), "end marker", DEFAULT_LIMITS),
    # bombs
    ("zip-size", zipped(ZEROS), "larger than 100000 bytes", SMALL),
    ("tar-size", tarred(member("a", ZEROS)), "larger than 100000 bytes", SMALL),
    ("zip-many-entries", named(*(f"f{i}" for i in range(21))), "more than 20 entries", SMALL),
    ("zip-many-folders", named("/".join("abcdefghijklmnopqrstuvw")), "more than 20 entries", SMALL),
    ("tar-many-entries", tarred(*(member(f"f{i}") for i in range(21))), "more than 20 entries", SMALL),
    ("tar-many-folders", tarred(member("/".join("abcdefghijklmnopqrstuvw"))), "more than 20", SMALL),
    ("tar-padding", tarred(member("a"), end=bytes(3_000_000)), "follows its end", DEFAULT_LIMITS),
    (
        "tar-huge-header",
        tarred(extended(bytes(2_000_000)), member("a")),
        "header is too large",
        DEFAULT_LIMITS,
    ),
    ("tar-many-headers", tarred(*[extended(b"9 uid=12\n")] * 9, member("a")), "many headers", DEFAULT_LIMITS),
    (
        "zip-ratio",
        zipped(bytes(101_000_000)),
        "compressed more than 500 to 1",
        UnpackLimits(ratio=500),
    ),
    (
        "tar-ratio",
        tarred(member("a", bytes(101_000_000))),
        "compressed more than 500 to 1",
        UnpackLimits(ratio=500),
    ),
]


class HostileArchiveTests(FolderCase):
    """Whatever is wrong with an archive, it is refused with its reason, and nothing of it stays."""

    def check(self, make: Maker, expected: str, limits: UnpackLimits) -> None:
        """Open one archive."""
        archive = self.folder / "model.mar"
        archive.write_bytes(make())
        refusal = self.assertRaises(
            ArchiveInvalid, open_archive, archive, self.folder / "models" / "m", limits
        )
        self.assertIn(expected, str(refusal))
        self.assertTrue(str(refusal).startswith("Failed to save model: model.mar ("))
        self.assertNotIn(str(self.folder), str(refusal))
        self.assertLess(len(str(refusal)), 300)
        self.assertEqual(list((self.folder / "models").iterdir()), [])
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"model.mar", "models"})

    def test_table_is_complete(self) -> None:
        self.assertEqual(len({case[0] for case in CASES}), len(CASES))
        self.assertGreater(len(CASES), 60)


def _add_test(name: str, make: Maker, expected: str, limits: UnpackLimits) -> None:
    def test(self: HostileArchiveTests) -> None:
        self.check(make, expected, limits)

    setattr(HostileArchiveTests, f"test_{name.replace('-', '_')}", test)


for _case in CASES:
    _add_test(*_case)
