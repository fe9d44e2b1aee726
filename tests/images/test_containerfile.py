"""How Containerfiles are read, and what ours have in common."""

from __future__ import annotations

from pathlib import Path
from unittest import TestCase

from tests.images.containerfile import Stage, Unreadable, first_words, read

IMAGES = Path(__file__).parent.parent.parent / "images"
FILES = ("cpu", "cuda", "kserve", "sagemaker")
DIGEST = {"PYTHON_DIGEST": "sha256:" + "0" * 64}


class ReadingTests(TestCase):
    """``read``."""

    def last(self, text: str, **given: str) -> Stage:
        return read(text, given)[-1]

    def test_arguments(self) -> None:
        text = "ARG A=1\nARG B\nFROM x:${A}@$B AS y\nARG A\nARG C=3\nRUN echo $A $C"
        stage = self.last(text, B="two")
        self.assertEqual((stage.base, stage.name), ("x:1@two", "y"))
        self.assertEqual(stage.steps[0].environment, {"A": "1", "C": "3"})
        with self.assertRaisesRegex(Unreadable, "B has no value"):
            read(text, {})

    def test_lines_that_go_on(self) -> None:
        stage = self.last("FROM x\nRUN a \\\n    # why\n    && b\n")
        self.assertEqual(stage.steps[0].text, "a && b")

    def test_environment_user_and_folder_hold_from_there_on(self) -> None:
        stage = self.last("FROM x\nENV A=1 B='2 3'\nENV C=$A\nUSER 7:8\nWORKDIR /w\nRUN c")
        step = stage.steps[-1]
        self.assertEqual(step.environment, {"A": "1", "B": "2 3", "C": "1"})
        self.assertEqual((step.user, step.folder), ("7:8", "/w"))

    def test_copies(self) -> None:
        stage = self.last("FROM x AS b\nFROM x\nCOPY --from=b /p /q\nCOPY r s t/")
        self.assertEqual(
            [(step.of_stage, step.words) for step in stage.steps],
            [("b", ("/p", "/q")), (None, ("r", "s", "t/"))],
        )

    def test_command(self) -> None:
        stage = self.last('FROM x\nENTRYPOINT ["a"]\nCMD ["b"]')
        self.assertEqual(first_words(stage), ("a", "b"))
        self.assertEqual(first_words(stage, ["c"]), ("a", "c"))

    def test_what_is_not_known_is_refused(self) -> None:
        for text in (
            "RUN a",
            "FROM x\nADD a b",
            "FROM x\nCMD a b",
            "FROM x\nCOPY --chown=1 a b",
            "FROM x\nRUN a \\",
        ):
            with self.subTest(text):
                self.assertRaises(Unreadable, read, text, {})


class OurFilesTests(TestCase):
    """The files of ``images/``."""

    def test_each_is_pinned_unprivileged_and_told_to_end(self) -> None:
        for name in FILES:
            with self.subTest(name):
                text = (IMAGES / f"Containerfile.{name}").read_text("utf-8")
                self.assertRaisesRegex(Unreadable, "PYTHON_DIGEST", read, text, {})
                build, image = read(text, DIGEST)
                self.assertEqual(build.base, image.base)
                self.assertTrue(image.base.endswith("@" + DIGEST["PYTHON_DIGEST"]))
                self.assertEqual(image.user, "1000:1000")
                self.assertEqual(image.signal, "SIGTERM")
                self.assertTrue(image.health_check)
                self.assertTrue(first_words(image))

    def test_there_are_no_others(self) -> None:
        self.assertEqual(sorted(path.suffix[1:] for path in IMAGES.glob("Containerfile*")), sorted(FILES))
