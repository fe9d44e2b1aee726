"""``modelserver.archive.pack``: a failure tells why, and leaves nothing."""

from __future__ import annotations

import os
import shutil

from attrs import evolve
from twisted.trial.unittest import SkipTest

from modelserver.archive.pack import FORMATS, pack
from tests.harness.packing import PackCase, content_of


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
                why = self.refusal(None, **{name: missing})
                self.assertEqual(why, f"[Errno 2] No such file or directory: '{missing}'")
        self.assertEqual(self.refusal(extra_files=(missing,)), f"File does not exist: {missing}")
        why = self.refusal(handler=missing)
        self.assertEqual(why, f"[Errno 2] No such file or directory: '{missing}.py'")

    def test_a_word_that_is_no_file_may_be_meant_for_a_built_in_handler(self) -> None:
        why = self.refusal(handler="image_clasifier")
        self.assertRegex(why, r"^There is no file image_clasifier\.py, and .* image_classifier, ")

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
