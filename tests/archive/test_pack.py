"""``modelserver.archive.pack``: what goes into an archive."""

from __future__ import annotations

import json
import os
import shutil
import string
import tarfile
import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.manifest import read_manifest
from modelserver.archive.pack import FORMATS, FolderPackRequest, PackRequest, pack
from modelserver.archive.unpack import unpack
from modelserver.errors import ArchiveInvalid
from tests.harness.packing import MANIFEST, PackCase, content_of


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

    def test_blanks_around_extra_files(self) -> None:
        for name in ("e/x.csv", "y.txt", " z"):
            self.write(name)
        names = (f" {self.path('e/*.csv')}", f"{self.path('y.txt')} ", self.path(" z"))
        self.assertEqual(sorted(self.pack(extra_files=names)), [" z", "h.py", "x.csv", "y.txt"])

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
                files = self.pack(None, **{"handler": "base_handler", "force": True, **given})
                self.assertEqual(files, {"f.py": second.encode()})
                self.assertIn(
                    f"{paths[second]} takes the place of {paths[first]} in the archive: both are named f.py",
                    self.told,
                )

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
            for file, content in files.items():
                (source / file).parent.mkdir(parents=True, exist_ok=True)
                (source / file).write_bytes(content)
            request = PackRequest(
                "m", "1", "base_handler", extra_files=(str(source),), export_path=out, archive_format=form
            )
            made = pack(request)
            if made.is_file():
                unpack(made, out / "unpacked")
                made = out / "unpacked"
            self.assertEqual(content_of(made), files)
            self.assertEqual(read_manifest(made).handler, "base_handler")
