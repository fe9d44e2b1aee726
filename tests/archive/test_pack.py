"""``modelserver.archive.pack``: what goes into an archive, and that a failure leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import string
import tarfile
import tempfile
import zipfile
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from modelserver.archive.manifest import read_manifest
from modelserver.archive.pack import FORMATS, FolderPackRequest, PackingFailed, PackRequest, pack
from modelserver.archive.unpack import open_archive, unpack
from modelserver.errors import ArchiveInvalid

MANIFEST = "MAR-INF/MANIFEST.json"


def content_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder, but the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).as_posix() != MANIFEST
    }


class PackCase(SynchronousTestCase):
    """A fresh folder with sources, and one to export to."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.out = self.folder / "out"
        self.out.mkdir()
        self.told: list[str] = []
        self.write("h.py", "handler")
        self.request = PackRequest(
            "m", "1.0", self.path("h.py"), export_path=self.out, created=datetime(2026, 11, 22, 3, 4, 5)
        )

    def path(self, name: str) -> str:
        """Where a source is."""
        return str(self.folder / name)

    def write(self, name: str, text: str = "") -> str:
        """Make a source; returns where it is."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def pack(
        self, request: PackRequest | FolderPackRequest | None = None, **changes: object
    ) -> dict[str, bytes]:
        """Pack, and return the files that the server would see, without the manifest."""
        made = pack(evolve(request or self.request, **changes), self.told.append)
        self.seen = open_archive(made, self.folder / "unpacked" / os.urandom(4).hex())
        return content_of(self.seen)

    def refusal(self, request: PackRequest | FolderPackRequest | None = None, **changes: object) -> str:
        """Why packing fails."""
        before = sorted(self.out.rglob("*"))
        why = self.assertRaises(PackingFailed, pack, evolve(request or self.request, **changes))
        self.assertEqual(sorted(self.out.rglob("*")), before)
        return str(why)


class PackTests(PackCase):
    """TorchServe's archiver."""

    def test_manifest(self) -> None:
        named = {name: self.write(f"src/{name}") for name in ("w.pt", "m.py", "req.txt", "conf.yaml")}
        self.pack(
            serialized_file=named["w.pt"],
            model_file=named["m.py"],
            requirements_file=named["req.txt"],
            config_file=named["conf.yaml"],
            runtime="python3",
        )
        expected = {
            "createdOn": "22/11/2026 03:04:05",
            "runtime": "python3",
            "model": {
                "modelName": "m",
                "serializedFile": "w.pt",
                "handler": "h.py",
                "modelFile": "m.py",
                "modelVersion": "1.0",
                "requirementsFile": "req.txt",
                "configFile": "conf.yaml",
            },
            "archiverVersion": "0.12.0",
        }
        self.assertEqual((self.seen / MANIFEST).read_text(), json.dumps(expected, indent=2))

    def test_every_format_has_the_same_content(self) -> None:
        extra = (self.write("data/labels/de.json", "{}"),)
        for name in FORMATS:
            with self.subTest(name):
                shutil.rmtree(self.out)
                self.out.mkdir()
                files = self.pack(archive_format=name, extra_files=extra)
                self.assertEqual(files, {"h.py": b"handler", "de.json": b"{}"})
                self.assertEqual(read_manifest(self.seen).model_name, "m")

    def test_names_of_the_formats(self) -> None:
        names = {name: pack(evolve(self.request, archive_format=name, force=True)).name for name in FORMATS}
        self.assertEqual(
            names, {"default": "m.mar", "zip-store": "m.mar", "tgz": "m.tar.gz", "no-archive": "m"}
        )

    def test_zip_store_does_not_compress(self) -> None:
        for name, method in (("default", zipfile.ZIP_DEFLATED), ("zip-store", zipfile.ZIP_STORED)):
            with zipfile.ZipFile(pack(evolve(self.request, archive_format=name, force=True))) as archive:
                self.assertEqual({info.compress_type for info in archive.infolist()}, {method})

    def test_tar_tells_nothing_of_who_made_it(self) -> None:
        with tarfile.open(pack(evolve(self.request, archive_format="tgz"))) as archive:
            for info in archive:
                self.assertEqual((info.uid, info.gid, info.uname, info.gname), (0, 0, "", ""))
                self.assertTrue(info.name.startswith("m/"))

    def test_hard_links_are_files_in_a_tar(self) -> None:
        os.link(self.folder / "h.py", self.folder / "again.py")
        files = self.pack(archive_format="tgz", extra_files=(self.path("again.py"),))
        self.assertEqual(files, {"h.py": b"handler", "again.py": b"handler"})

    def test_handlers(self) -> None:
        self.write("x.pyd/h", "odd")
        self.write("x.pyd/lib.so", "library")
        cases = [
            # handler, runtime, handler in the manifest, files
            ("h", "python", "h", {"h.py": b"handler"}),
            ("h:f", "python", "h:f", {"h.py": b"handler"}),
            ("h:f:g", "python", "h:f:g", {"h.py": b"handler"}),
            ("h.py:f", "python", "h.py:f", {"h.py": b"handler"}),
            ("x.pyd/h", "python", "h", {"h": b"odd"}),
            ("x.pyd/lib:F", "LSP", "lib:F", {"lib.so": b"library"}),
        ]
        for handler, runtime, name, files in cases:
            with self.subTest(handler):
                request = evolve(self.request, handler=self.path(handler), runtime=runtime, force=True)
                made = zipfile.ZipFile(pack(request))
                self.addCleanup(made.close)
                self.assertEqual(json.loads(made.read(MANIFEST))["model"]["handler"], name)
                packed = {entry: made.read(entry) for entry in made.namelist() if entry != MANIFEST}
                self.assertEqual(packed, files)

    def test_built_in_handlers_are_not_copied(self) -> None:
        for handler, runtime in (("image_classifier", "python"), ("BaseHandler", "LSP"), ("", "python")):
            with self.subTest(handler):
                made = pack(evolve(self.request, handler=handler, runtime=runtime, force=True))
                self.assertEqual(zipfile.ZipFile(made).namelist(), [MANIFEST])

    def test_built_in_name_is_a_file_with_another_runtime(self) -> None:
        why = self.refusal(handler="image_classifier", runtime="LSP")
        self.assertEqual(why, "[Errno 2] No such file or directory: 'image_classifier.so'")

    def test_empty_version_is_left_out(self) -> None:
        self.pack(version="")
        self.assertNotIn("modelVersion", (self.seen / MANIFEST).read_text())

    def test_extra_files(self) -> None:
        for name in (
            "d/a",
            "d/.hidden",
            "d/sub/b",
            "d/sub/.h/c",
            "d/__pycache__/p",
            "d/__MACOSX/q",
            "e/x.csv",
        ):
            self.write(name, name)
        (self.folder / "d" / "nothing").mkdir()
        files = self.pack(extra_files=(self.path("d"), self.path("e/*.csv"), self.path("e/*.no")))
        self.assertEqual(sorted(files), [".hidden", "a", "h.py", "sub/b", "x.csv"])
        self.assertEqual(self.told, [f"Given wildcard pattern did not match any file: {self.path('e/*.no')}"])

    def test_folders_that_a_pattern_finds_give_their_content(self) -> None:
        for name in ("d/sub/deep/a", "d/b", "d/__pycache__/p"):
            self.write(name)
        self.assertEqual(sorted(self.pack(extra_files=(self.path("d/*"),))), ["b", "deep/a", "h.py", "p"])

    def test_same_folder_in_two_places_is_merged(self) -> None:
        self.write("d1/s/1")
        self.write("d2/s/2")
        files = self.pack(extra_files=(self.path("d1"), self.path("d2")))
        self.assertEqual(sorted(files), ["h.py", "s/1", "s/2"])

    def test_later_goes_before_earlier(self) -> None:
        order = (
            "model_file",
            "serialized_file",
            "handler",
            "extra_files",
            "requirements_file",
            "config_file",
        )
        paths = {name: self.write(f"{name}/f.py", name) for name in order}
        for first, second in pairwise(order):
            with self.subTest(second):
                given = {
                    name: (paths[name],) if name == "extra_files" else paths[name] for name in (first, second)
                }
                files = self.pack(**{"handler": "base_handler", "force": True, **given})
                self.assertEqual(files, {"f.py": second.encode()})

    def test_manifest_of_an_extra_folder_is_not_taken(self) -> None:
        self.write("d/MAR-INF/MANIFEST.json", "other")
        self.write("d/MAR-INF/keep")
        self.assertEqual(sorted(self.pack(extra_files=(self.path("d"),))), ["MAR-INF/keep", "h.py"])
        self.assertEqual(read_manifest(self.seen).model_name, "m")

    def test_links_are_followed(self) -> None:
        self.write("other/o", "o")
        (self.folder / "d").mkdir()
        (self.folder / "d" / "file").symlink_to(self.folder / "h.py")
        (self.folder / "d" / "folder").symlink_to(self.folder / "other")
        for form in FORMATS:
            files = self.pack(extra_files=(self.path("d"),), archive_format=form, force=True)
            self.assertEqual(files, {"h.py": b"handler", "file": b"handler", "folder/o": b"o"})

    def test_force_replaces(self) -> None:
        self.pack()
        self.write("h.py", "new")
        self.assertEqual(self.pack(force=True), {"h.py": b"new"})
        self.assertEqual(self.told, [f"Overwriting {self.out / 'm.mar'} ..."])

    def test_force_keeps_what_else_is_in_a_folder(self) -> None:
        self.pack(archive_format="no-archive")
        self.write("out/m/mine", "kept")
        inode = (self.folder / "h.py").stat().st_ino
        self.write("h.py", "new")
        files = self.pack(archive_format="no-archive", force=True)
        self.assertEqual(files, {"h.py": b"new", "mine": b"kept"})
        self.assertEqual([path.name for path in self.out.iterdir()], ["m"])
        self.assertEqual((self.folder / "h.py").stat().st_ino, inode)

    def test_permissions_follow_the_umask(self) -> None:
        self.addCleanup(os.umask, os.umask(0o027))
        self.assertEqual(pack(self.request).stat().st_mode & 0o777, 0o640)

    def test_files_of_before_1980(self) -> None:
        os.utime(self.folder / "h.py", (0, 0))
        self.assertEqual(self.pack(), {"h.py": b"handler"})


class PackingFailedTests(PackCase):
    """What is refused, in the archiver's words; nothing is left, and what was there stays."""

    def test_bad_names(self) -> None:
        for name in ("a/b", "_a", ".a", "a b", "é", "", "a\n", "../a"):
            with self.subTest(name):
                self.assertEqual(
                    self.refusal(model_name=name),
                    "Model name contains special characters.\n"
                    r"The allowed regular expression filter for model name is: ^[A-Za-z0-9][A-Za-z0-9_\-.]*$",
                )

    def test_no_export_path(self) -> None:
        why = self.refusal(export_path=self.out / "no")
        self.assertEqual(
            why,
            f"Given export-path {self.out / 'no'} is not a directory. "
            "Point to a valid export-path directory.",
        )

    def test_exists(self) -> None:
        for form in FORMATS:
            made = pack(evolve(self.request, archive_format=form, force=True))
            self.assertEqual(
                self.refusal(archive_format=form),
                f"{made} already exists.\n"
                "Please specify --force/-f option to overwrite the model archive output file.\n"
                "See -h/--help for more details.",
            )

    def test_missing_files(self) -> None:
        missing = self.path("nope")
        for name in ("serialized_file", "model_file", "requirements_file", "config_file"):
            with self.subTest(name):
                why = self.refusal(**{name: missing})
                self.assertEqual(why, f"[Errno 2] No such file or directory: '{missing}'")
        self.assertEqual(self.refusal(extra_files=(missing,)), f"File does not exist: {missing}")
        why = self.refusal(handler=missing)
        self.assertEqual(why, f"[Errno 2] No such file or directory: '{missing}.py'")

    def test_folder_in_the_place_of_a_file(self) -> None:
        why = self.refusal(serialized_file=str(self.out))
        self.assertEqual(why, f"[Errno 21] Is a directory: '{self.out}'")

    def test_fifo(self) -> None:
        os.mkfifo(self.folder / "fifo")
        self.assertEqual(
            self.refusal(extra_files=(self.path("fifo"),)), f"Not a plain file: {self.path('fifo')}"
        )

    def test_dangling_link(self) -> None:
        (self.folder / "d").mkdir()
        (self.folder / "d" / "l").symlink_to("nowhere")
        self.assertIn("No such file or directory", self.refusal(extra_files=(self.path("d"),)))

    def test_folder_linked_into_itself(self) -> None:
        (self.folder / "d" / "e").mkdir(parents=True)
        (self.folder / "d" / "e" / "l").symlink_to(self.folder / "d")
        self.assertIn("is a link to a folder that it lies in", self.refusal(extra_files=(self.path("d"),)))

    def test_file_and_folder_of_one_name(self) -> None:
        self.write("d1/s/1")
        for names in (("d1", "e/s"), ("e/s", "d1")):
            self.write("e/s")
            why = self.refusal(extra_files=tuple(map(self.path, names)))
            self.assertEqual(why, "s is a file and a folder of the archive.")

    def test_file_that_cannot_be_read_leaves_the_old_archive(self) -> None:
        for form in FORMATS:
            made = pack(evolve(self.request, archive_format=form, force=True))
            before = content_of(made) if made.is_dir() else made.read_bytes()
            missing = (self.write("gone/x"),)
            shutil.rmtree(self.folder / "gone")
            self.refusal(archive_format=form, force=True, extra_files=missing)
            self.assertEqual(content_of(made) if made.is_dir() else made.read_bytes(), before)

    def test_failure_in_the_middle_leaves_nothing(self) -> None:
        unreadable = "/proc/self/mem"
        if not os.path.exists(unreadable):
            raise SkipTest("no file here is plain and cannot be read")
        for form in ("default", "zip-store", "no-archive"):
            with self.subTest(form):
                self.refusal(archive_format=form, extra_files=(unreadable,))

    def test_archive_in_the_place_of_a_folder(self) -> None:
        self.write("out/m")
        self.refusal(archive_format="no-archive", force=True)
        (self.out / "m").unlink()
        (self.out / "m.mar").mkdir()
        self.refusal(force=True)


class FolderPackTests(PackCase):
    """MMS's archiver."""

    def setUp(self) -> None:
        super().setUp()
        self.write("mm/svc.py", "service")
        self.of_folder = FolderPackRequest("m", "svc:handle", self.folder / "mm", export_path=self.out)

    def test_manifest(self) -> None:
        self.pack(self.of_folder)
        expected = {
            "runtime": "python",
            "model": {"modelName": "m", "handler": "svc:handle"},
            "modelServerVersion": "1.0",
            "implementationVersion": "1.0",
            "specificationVersion": "1.0",
        }
        self.assertEqual((self.seen / MANIFEST).read_text(), json.dumps(expected, indent=2))

    def test_what_is_left_out(self) -> None:
        taken = ("a.txt", ".hidden", "sub/b", "x.PYC", "pyc", "MyMANIFEST.json", "x.mar.bak", "MAR-INF/keep")
        left = (
            "svc.pyc", "sub/x.pyc", ".DS_Store", "b.DS_Store", "old.mar", "MANIFEST.json",
            "sub/MANIFEST.json", MANIFEST, ".h/x", "__pycache__/p", "sub/__MACOSX/q",
        )  # fmt: skip
        for name in (*taken, *left):
            self.write(f"mm/{name}")
        self.assertEqual(sorted(self.pack(self.of_folder)), sorted((*taken, "svc.py")))

    def test_linked_files_are_taken_and_linked_folders_are_not(self) -> None:
        self.write("other/o")
        (self.folder / "mm" / "l.py").symlink_to(self.folder / "h.py")
        (self.folder / "mm" / "folder").symlink_to(self.folder / "other")
        for form in FORMATS:
            files = self.pack(self.of_folder, archive_format=form, force=True)
            self.assertEqual(files, {"svc.py": b"service", "l.py": b"handler"})

    def test_into_the_folder_itself(self) -> None:
        self.pack(self.of_folder, export_path=self.folder / "mm")
        self.assertEqual(
            self.pack(self.of_folder, export_path=self.folder / "mm", force=True), {"svc.py": b"service"}
        )

    def test_no_folder(self) -> None:
        why = self.refusal(self.of_folder, model_path=Path(self.path("h.py")))
        self.assertEqual(
            why,
            f"Given model-path {self.path('h.py')} is not a valid directory. "
            "Point to a valid model-path directory.",
        )

    def test_python2_can_be_packed_and_is_not_served(self) -> None:
        self.pack(self.of_folder, runtime="python2")
        self.assertRaises(ArchiveInvalid, read_manifest, self.seen)


parts = st.text(string.ascii_lowercase + "é-_", min_size=1, max_size=12).filter(
    lambda part: part != "__pycache__"
)
trees = st.dictionaries(
    st.lists(parts, min_size=1, max_size=4).map("/".join), st.binary(max_size=2000), max_size=8
)


class RoundTripTests(SynchronousTestCase):
    """Whatever is packed comes out again."""

    @settings(max_examples=60, deadline=None)
    @given(trees, st.sampled_from(FORMATS))
    def test_files_come_out_as_they_went_in(self, tree: dict[str, bytes], form: str) -> None:
        files = {
            name: content
            for name, content in tree.items()
            if not any(other.startswith(f"{name}/") for other in tree)
        }
        with tempfile.TemporaryDirectory() as name:
            source, out = Path(name, "source"), Path(name, "out")
            for path in (source, out):
                path.mkdir()
            for path, content in files.items():
                (source / path).parent.mkdir(parents=True, exist_ok=True)
                (source / path).write_bytes(content)
            request = PackRequest(
                "m", "1", "base_handler", extra_files=(str(source),), export_path=out, archive_format=form
            )
            made = pack(request)
            if made.is_file():
                unpack(made, out / "unpacked")
                made = out / "unpacked"
            self.assertEqual(content_of(made), files)
            self.assertEqual(read_manifest(made).handler, "base_handler")
