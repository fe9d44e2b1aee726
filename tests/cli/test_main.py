"""The command finds its subcommands, and hands them what belongs to them."""

from __future__ import annotations

import argparse
import io
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from unittest import TestCase

import modelserver
from modelserver.cli import programs
from modelserver.cli.main import SUBCOMMANDS, build_parser, main


class MainTests(TestCase):
    """The words after ``modelserver``."""

    def refused(self, *words: str) -> tuple[int | str | None, str]:
        """The exit status and the text of words that end the process while they are parsed."""
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text), self.assertRaises(SystemExit) as caught:
            main(words)
        return caught.exception.code, text.getvalue()

    def test_help_names_the_subcommands(self) -> None:
        status, text = self.refused("--help")
        self.assertEqual(status, 0)
        for name in ("quickstart", "serve"):
            self.assertRegex(text, rf"\n    {name}\b")

    def test_version(self) -> None:
        self.assertEqual(self.refused("--version"), (0, f"modelserver {modelserver.__version__}\n"))

    def test_module_is_the_command(self) -> None:
        self.assertIs(programs.modelserver, import_module("modelserver.__main__").modelserver)

    def test_no_subcommand_is_an_error(self) -> None:
        status, text = self.refused()
        self.assertEqual(status, 2)
        self.assertIn("COMMAND", text)

    def test_run_gives_the_exit_status(self) -> None:
        parser = build_parser()
        arguments = parser.parse_args(["quickstart"])
        self.assertTrue(callable(arguments.run))


class SubcommandTests(TestCase):
    """What is imported for a subcommand."""

    def added_by(self, name: str) -> list[str]:
        """The subcommands that a module adds."""
        subparsers = argparse.ArgumentParser().add_subparsers()
        import_module(name).add_parser(subparsers)
        return list(subparsers.choices)

    def test_the_table_says_what_each_module_adds(self) -> None:
        self.assertEqual({name: list(added) for name, added in SUBCOMMANDS.items()}, self.table())

    def table(self) -> dict[str, list[str]]:
        """The table as the modules themselves have it."""
        return {name: self.added_by(name) for name in SUBCOMMANDS}

    def test_only_the_module_that_is_meant_adds_its_own(self) -> None:
        self.assertTrue(callable(build_parser("serve").parse_args(["serve"]).run))
        with redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            build_parser("serve").parse_args(["quickstart"])

    def test_a_word_that_is_no_subcommand_is_refused_with_all_of_them(self) -> None:
        text = io.StringIO()
        with redirect_stderr(text), self.assertRaises(SystemExit):
            main(["sevre"])
        self.assertIn("quickstart", text.getvalue())


class ServeOptionsTests(TestCase):
    """``serve`` leaves every word to twistd's plugin."""

    def test_words_are_kept_as_they_are(self) -> None:
        words = ["--model-store", "store", "--models", "a=a.mar", "b.mar", "--ts-config=x", "-h", "--", "-x"]
        self.assertEqual(build_parser().parse_args(["serve", *words]).options, words)

    def test_no_words(self) -> None:
        self.assertEqual(build_parser().parse_args(["serve"]).options, [])
