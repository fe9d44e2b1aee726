"""Requirements are read as pip reads them: what they lead to, and what they may not say."""

from __future__ import annotations

import os
from pathlib import Path

from modelserver.management.requirements import (
    MOST_FILES,
    Requirements,
    RequirementsRefused,
    read_requirements,
)
from tests.harness.folder import FolderCase

ALLOWED = (
    "attrs==1.0",
    "attrs>=1 ; python_version < '4'  # --target in a comment",
    "attrs \\\n  --hash=sha256:abc",
    "-i https://index.example/simple",
    "-ihttps://index.example/simple",
    "--index-url=https://index.example/simple\n--extra-index-url http://other.example",
    "--trusted-host other.example",
    "--pre\n--no-index\n--prefer-binary\n--require-hashes",
    "--only-binary :all:\n--no-binary=attrs",
    "-f https://files.example/",
    "--find-links wheels",
    "-f ./wheels",
    "-r more.txt",
    "-c deep/constraints.txt",
    "-rmore.txt",
    "own-1.0-py3-none-any.whl",
    "./own-1.0-py3-none-any.whl[extra]",
    "own @ https://files.example/own.whl",
    "/somewhere/own.whl",
    "../own.whl",
    "# coding: utf-8\nattrs",
    "-i ${INDEX}",
)
REFUSED = (
    "-e .",
    "--editable=.",
    "--target /tmp",
    "attrs --global-option=x",
    "attrs --config-settings=a=b",
    "--log log.txt",
    "-r ../more.txt",
    "-r /etc/hostname",
    "-r https://files.example/more.txt",
    "--requirement=absent.txt",
    "-c deep/../../c.txt",
    "-f /",
    "-f ..",
    "--find-links=file:///tmp",
    "-i file:///tmp",
    "--index-url /tmp",
    "--find .",
    "--req more.txt",
    "attrs \\\n  -e .",
    "-f ${OUTSIDE}",
    "# coding: utf-7\n+AC0-e .",
    'attrs -e "x',
    "-r self.txt\n-e .",
    "-r",
)


class RequirementsCase(FolderCase):
    """An archive with files that requirements lead to."""

    def setUp(self) -> None:
        super().setUp()
        self.model = self.folder / "model"
        for name, text in (
            ("more.txt", "attrs\n"),
            ("self.txt", "-r self.txt\n-r requirements.txt\n"),
            ("deep/constraints.txt", "attrs<9\n"),
            ("wheels/a.whl", "a"),
            ("own-1.0-py3-none-any.whl", "own"),
            ("../more.txt", "outside\n"),
            ("../c.txt", "outside\n"),
        ):
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """A file of the archive."""
        path = Path(os.path.abspath(self.model / name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, text: str, allows_everything: bool = False) -> Requirements:
        """What is read of the requirements."""
        self.write("requirements.txt", text)
        environment = {"OUTSIDE": "/", "INDEX": "https://index.example/simple"}
        return read_requirements(self.model, "requirements.txt", environment, allows_everything)


class RulesTests(RequirementsCase):
    """Which lines are given to pip."""

    def test_allowed(self) -> None:
        for text in ALLOWED:
            with self.subTest(text):
                self.assertTrue(self.read(text))

    def test_refused_unless_everything_is_allowed(self) -> None:
        for text in REFUSED:
            with self.subTest(text):
                self.assertRaises(RequirementsRefused, self.read, text)

    def test_everything(self) -> None:
        for text in ("-e .", "-r /etc/hostname", "-f /", "--index-url /tmp", "attrs --global-option=x"):
            with self.subTest(text):
                self.assertFalse(self.read(text, allows_everything=True).is_portable)

    def test_nothing(self) -> None:
        for text in ("", "\n\n", "# nothing\n", "   "):
            self.assertFalse(self.read(text))

    def test_too_many_files(self) -> None:
        for number in range(MOST_FILES + 1):
            self.write(f"{number}.txt", f"-r {number + 1}.txt")
        self.write(f"{MOST_FILES + 1}.txt", "attrs")
        with self.assertRaises(RequirementsRefused) as raised:
            self.read("-r 0.txt")
        self.assertIn("more than", str(raised.exception))

    def test_a_refusal_shows_no_secret(self) -> None:
        with self.assertRaises(RequirementsRefused) as raised:
            self.read("--index-url ${OUTSIDE}secret")
        self.assertNotIn("secret", str(raised.exception))


class DigestTests(RequirementsCase):
    """What the lines lead to counts, too: another file of the same name is another environment."""

    def test_files_count(self) -> None:
        for text, file in (
            ("own-1.0-py3-none-any.whl", "own-1.0-py3-none-any.whl"),
            ("./own-1.0-py3-none-any.whl[extra] ; python_version > '3'", "own-1.0-py3-none-any.whl"),
            ("own @ file:own-1.0-py3-none-any.whl", "own-1.0-py3-none-any.whl"),
            ("-r more.txt", "more.txt"),
            ("-c deep/constraints.txt", "deep/constraints.txt"),
            ("--find-links wheels", "wheels/a.whl"),
            ("./wheels", "wheels/a.whl"),
        ):
            with self.subTest(text):
                before = self.read(text)
                self.assertEqual(self.read(text), before)
                self.assertTrue(before.is_portable)
                self.write(file, f"# {text}")
                self.assertNotEqual(self.read(text), before)

    def test_values_of_variables_count(self) -> None:
        texts = {self.read(text).digest for text in ("-i ${INDEX}", "-i https://index.example/simple")}
        self.assertEqual(len(texts), 1)

    def test_paths_outside_make_it_this_archives_own(self) -> None:
        self.assertFalse(self.read("../more.txt").is_portable)
        self.assertTrue(self.read("../absent.txt").is_portable)
