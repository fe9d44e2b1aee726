"""``modelserver.archive.unpack`` with archives that are fine."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from modelserver.archive.manifest import read_manifest
from modelserver.archive.unpack import UnpackLimits, open_archive, remove, unpack
from modelserver.errors import ArchiveInvalid, ArchiveNotFound, InternalError
from tests.harness.folder import FolderCase

FILES = {
    "h.py": b"def handle(data, context): return data\n",
    "labels/de/index.json": b"{}",
    "w.pt": bytes(range(256)) * 2000,
    "empty": b"",
    "MAR-INF/MANIFEST.json": b'{"model": {"modelName": "m"}}',
}


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """A zip, by the standard library."""
    container = io.BytesIO()
    with zipfile.ZipFile(container, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.comment = comment
    return container.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A gzip-compressed tar, by the standard library."""
    container = io.BytesIO()
    with tarfile.open(fileobj=container, mode="w:gz", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return container.getvalue()


def within(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files, in a folder."""
    return {folder + name: content for name, content in files.items()}


def streamed(files: dict[str, bytes]) -> bytes:
    """A zip written to a pipe: the sizes come after each content."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, piece: Any) -> int:
            self.content += piece
            return len(piece)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return bytes(pipe.content)


def with_zip64_headers(files: dict[str, bytes]) -> bytes:
    """A zip whose entries are written as if they could pass 4 GiB."""
    container = io.BytesIO()
    with zipfile.ZipFile(container, "w") as archive:
        for name, content in files.items():
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(content)
    return container.getvalue()


def with_zip64_directory(files: dict[str, bytes]) -> bytes:
    """A zip whose every size and offset, and the place of the directory, are in zip64 fields."""
    plain = zipped(files, zipfile.ZIP_STORED)
    place = plain.rfind(b"PK\5\6")
    _, _, _, _, count, _, offset, _ = struct.unpack_from("<4s4H2LH", plain, place)
    directory, at = b"", offset
    for _ in range(count):
        fields = list(struct.unpack_from("<4s6H3L5H2L", plain, at))
        name_size, extra_size = fields[10], fields[11]
        name = plain[at + 46 : at + 46 + name_size]
        at += 46 + name_size + extra_size
        unrelated = struct.pack("<2H4s", 0x7875, 4, b"skip")
        extra = unrelated + struct.pack("<2H3Q", 1, 24, fields[9], fields[8], fields[16])
        fields[8] = fields[9] = fields[16] = 0xFFFFFFFF
        fields[11] = len(extra)
        directory += struct.pack("<4s6H3L5H2L", *fields) + name + extra
    end_64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(directory), offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, offset + len(directory), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return plain[:offset] + directory + end_64 + locator + end


def with_folders(files: dict[str, bytes]) -> bytes:
    """A zip with entries for the folders, too, some after what is in them."""
    return zipped({"labels/": b"", **files, "labels/de/": b"", "MAR-INF/": b""})


def long_names() -> dict[str, bytes]:
    """Names that need an extended header in a tar."""
    return {"a" * 120 + "/" + "ü" * 60 + ".txt": b"long", **FILES}


# id, the archive, what is in it, name of the file
VALID = [
    ("deflated", zipped(FILES), FILES, "m.mar"),
    ("stored", zipped(FILES, zipfile.ZIP_STORED), FILES, "m.mar"),
    ("name-says-nothing", zipped(FILES), FILES, "m.tar.gz"),
    ("comment", zipped(FILES, comment=b"made by hand"), FILES, "m.mar"),
    ("streamed", streamed(FILES), FILES, "m.mar"),
    ("zip64-headers", with_zip64_headers(FILES), FILES, "m.mar"),
    ("zip64-directory", with_zip64_directory(FILES), FILES, "m.mar"),
    ("folder-entries", with_folders(FILES), FILES, "m.mar"),
    ("empty-zip", zipped({}), {}, "m.mar"),
    ("long-names-zip", zipped(long_names()), long_names(), "m.mar"),
    ("zip-in-a-folder", zipped(within("p/", FILES)), FILES, "m.mar"),
    ("legacy-in-a-folder", zipped({"p/MANIFEST.json": b"{}"}), {"MANIFEST.json": b"{}"}, "m.model"),
    ("only-a-folder-of-weights", zipped({"w/a.pt": b"w"}), {"w/a.pt": b"w"}, "m.mar"),
    ("tar", tarred(within("m/", FILES)), FILES, "m.tar.gz"),
    ("tar-named-mar", tarred(within("m/", FILES)), FILES, "m.mar"),
    ("tar-gnu", tarred(within("m/", long_names()), tarfile.GNU_FORMAT), long_names(), "m.tgz"),
    ("tar-pax", tarred(within("m/", long_names())), long_names(), "m.tgz"),
    ("tar-ustar", tarred(within("m/", FILES), tarfile.USTAR_FORMAT), FILES, "m.tgz"),
    ("tar-flat", tarred(FILES), FILES, "m.tar.gz"),
    ("tar-dots", tarred(within("./", FILES)), FILES, "m.tar.gz"),
    ("tar-dots-in-a-folder", tarred(within("./m/", FILES)), FILES, "m.tar.gz"),
    (
        "tar-manifest-only",
        tarred({"MAR-INF/MANIFEST.json": b"{}"}),
        {"MAR-INF/MANIFEST.json": b"{}"},
        "m.tar.gz",
    ),
    ("tar-padded", gzip.compress(gzip.decompress(tarred(FILES)) + bytes(100_000)), FILES, "m.tar.gz"),
]


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


class ArchiveCase(FolderCase):
    """A model store with an archive, and where it is unpacked."""

    def setUp(self) -> None:
        super().setUp()
        self.target = self.folder / "models" / "1"

    def archive(self, content: bytes, name: str = "m.mar") -> Path:
        """An archive in the model store."""
        path = self.folder / name
        path.write_bytes(content)
        return path


class UnpackTests(ArchiveCase):
    """An archive's files come out as they went in, whatever the container."""

    def check(self, content: bytes, expected: dict[str, bytes], name: str) -> None:
        """Unpack one archive."""
        unpack(self.archive(content, name), self.target)
        self.assertEqual(content_of(self.target), expected)
        self.assertEqual([path.name for path in self.target.parent.iterdir()], ["1"])

    def test_everything_is_its_owners_alone(self) -> None:
        container = io.BytesIO()
        with zipfile.ZipFile(container, "w") as archive:
            for name, mode in (("a/run.sh", 0o106777), ("a/data", 0o100644)):
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                archive.writestr(info, b"x")
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        unpack(self.archive(container.getvalue()), self.target)
        modes = {
            path.relative_to(self.target).as_posix(): stat.S_IMODE(path.stat().st_mode)
            for path in (self.target, *self.target.rglob("*"))
        }
        self.assertEqual(modes, {".": 0o700, "a": 0o700, "a/run.sh": 0o700, "a/data": 0o600})

    def test_limits_are_inclusive(self) -> None:
        archive = self.archive(zipped({"a/b": b"12345"}))
        unpack(archive, self.target, UnpackLimits(size=5, entries=2, path_length=4))
        self.assertRaises(ArchiveInvalid, unpack, archive, self.target.with_name("2"), UnpackLimits(size=4))
        self.assertRaises(
            ArchiveInvalid, unpack, archive, self.target.with_name("3"), UnpackLimits(entries=1)
        )
        self.assertRaises(
            ArchiveInvalid, unpack, archive, self.target.with_name("4"), UnpackLimits(path_length=3)
        )

    def test_target_that_exists_is_left_alone(self) -> None:
        self.target.mkdir(parents=True)
        (self.target / "mine").touch()
        self.assertRaises(InternalError, unpack, self.archive(zipped(FILES)), self.target)
        self.assertEqual(list(content_of(self.target)), ["mine"])

    def test_folder_that_cannot_be_made(self) -> None:
        (self.folder / "models").touch()
        refusal = self.assertRaises(InternalError, unpack, self.archive(zipped(FILES)), self.target)
        self.assertTrue(str(refusal).startswith("Failed to save model: m.mar ("))
        self.assertNotIn(str(self.folder), str(refusal))


def _add_test(name: str, content: bytes, expected: dict[str, bytes], file_name: str) -> None:
    def test(self: UnpackTests) -> None:
        self.check(content, expected, file_name)

    setattr(UnpackTests, f"test_{name.replace('-', '_')}", test)


for _case in VALID:
    _add_test(*_case)


class OpenArchiveTests(ArchiveCase):
    """A file is unpacked, a directory is used in place; removing takes only what was made."""

    def model(self, *below: str) -> Path:
        """A directory with a model, in the store."""
        folder = self.folder.joinpath("store", "resnet", *below)
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "MAR-INF" / "MANIFEST.json").write_bytes(FILES["MAR-INF/MANIFEST.json"])
        (folder / "h.py").write_bytes(FILES["h.py"])
        return folder

    def test_file(self) -> None:
        folder = open_archive(self.archive(zipped(FILES)), self.target)
        self.assertEqual(folder, self.target)
        self.assertEqual(read_manifest(folder).model_name, "m")
        remove(folder)
        self.assertFalse(self.target.exists())

    def test_directory(self) -> None:
        model = self.model()
        folder = open_archive(model, self.target)
        self.assertEqual(folder, self.target / "resnet")
        self.assertTrue(folder.is_symlink())
        self.assertEqual(folder.resolve(), model.resolve())
        remove(folder)
        self.assertFalse(self.target.exists())
        self.assertTrue((model / "h.py").exists())

    def test_directory_with_one_directory(self) -> None:
        model = self.model("inner")
        folder = open_archive(self.folder / "store" / "resnet", self.target)
        self.assertEqual((folder.name, folder.resolve()), ("resnet", model.resolve()))

    def test_directory_with_the_manifest_alone(self) -> None:
        model = self.model()
        (model / "h.py").unlink()
        self.assertEqual(open_archive(model, self.target).resolve(), model.resolve())

    def test_relative_directory(self) -> None:
        model = self.model()
        before = Path.cwd()
        os.chdir(model)
        self.addCleanup(os.chdir, before)
        folder = open_archive(Path(), self.target)
        self.assertEqual((folder.name, folder.resolve()), ("resnet", model.resolve()))

    def test_nothing_there(self) -> None:
        refusal = self.assertRaises(ArchiveNotFound, open_archive, self.folder / "no.mar", self.target)
        self.assertEqual(str(refusal), "Model not found at: no.mar")

    def test_fifo_is_no_archive(self) -> None:
        os.mkfifo(self.folder / "m.mar")
        self.assertRaises(ArchiveNotFound, open_archive, self.folder / "m.mar", self.target)

    def test_linking_twice(self) -> None:
        model = self.model()
        open_archive(model, self.target)
        self.assertRaises(InternalError, open_archive, model, self.target)

    def test_removing_twice(self) -> None:
        folder = open_archive(self.archive(zipped(FILES)), self.target)
        remove(folder)
        remove(folder)


class CheckTests(FolderCase):
    """What was checked is what is unpacked."""

    def setUp(self) -> None:
        super().setUp()
        self.archive = self.folder / "a.mar"
        self.archive.write_bytes(zipped(FILES))

    def test_a_file_that_another_takes_the_place_of_after_the_check_is_refused(self) -> None:
        def swap(stream: BinaryIO | None) -> None:
            other = self.folder / "other.mar"
            other.write_bytes(zipped({**FILES, "h.py": b"other"}))
            other.replace(self.archive)

        self.assertRaises(ArchiveInvalid, open_archive, self.archive, self.folder / "model", check=swap)
        self.assertEqual([path.name for path in self.folder.iterdir()], ["a.mar"])

    def test_the_open_file_is_what_is_unpacked(self) -> None:
        told: list[bytes] = []

        def read(stream: BinaryIO | None) -> None:
            assert stream is not None
            told.append(stream.read())

        model = open_archive(self.archive, self.folder / "model", check=read)
        self.assertEqual(told, [self.archive.read_bytes()])
        self.assertEqual((model / "h.py").read_bytes(), FILES["h.py"])

    def test_a_file_that_is_written_to_after_the_check_is_refused(self) -> None:
        def rewrite(stream: BinaryIO | None) -> None:
            content = self.archive.read_bytes()
            self.archive.write_bytes(content)
            os.utime(self.archive, ns=(0, 0))  # whatever the clock's grain, and whatever hides it

        with self.assertRaises(ArchiveInvalid) as raised:
            open_archive(self.archive, self.folder / "model", check=rewrite)
        self.assertIn("it changed while it was read", str(raised.exception))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["a.mar"])

    def test_a_directory_is_told_to_the_check(self) -> None:
        told: list[BinaryIO | None] = []
        (self.folder / "source").mkdir()
        open_archive(self.folder / "source", self.folder / "model", check=told.append)
        self.assertEqual(told, [None])

    def test_a_fifo_is_not_waited_for(self) -> None:
        fifo = self.folder / "fifo.mar"
        os.mkfifo(fifo)
        with self.assertRaises(ArchiveInvalid):
            unpack(fifo, self.folder / "model")
