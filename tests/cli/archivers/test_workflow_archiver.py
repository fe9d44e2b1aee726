"""The commands that pack workflows, and that look into one."""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from modelserver.cli.archivers import command as archive
from modelserver.cli.archivers import torch_workflow_archiver
from tests.harness.archivers import CommandCase

SPEC = "models: {m: {url: m.mar}, r: {model: other/2}}\ndag: {handle: [m], m: [r]}\n"


def modelserver(words: Sequence[str]) -> int:
    """The command ``modelserver``, with its subcommand ``archive`` alone."""
    parser = argparse.ArgumentParser()
    archive.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(words)
    status: int = arguments.run(arguments)
    return status


class WorkflowArchiverCase(CommandCase):
    """A specification beside the sources."""

    common = ("--workflow-name", "w", "--spec-file", "src/w.yaml", "--export-path", "ours")

    def setUp(self) -> None:
        super().setUp()
        Path("src/w.yaml").write_text(SPEC)

    def run_theirs(self, *words: str) -> tuple[int, str, str]:
        return self.run_command(torch_workflow_archiver.main, *self.common, *words)

    def run_ours(self, *words: str) -> tuple[int, str, str]:
        return self.run_command(modelserver, "archive", "workflow", *self.common, *words)


class TorchWorkflowArchiverTests(WorkflowArchiverCase):
    """``torch-workflow-archiver``."""

    def test_silent_on_success(self) -> None:
        result = self.run_theirs("--handler", "src/h.py", "--extra-files", "src/req.txt,src/other/o.txt")
        self.assertEqual((0, "", ""), result)
        with zipfile.ZipFile("ours/w.war") as made:
            manifest = json.loads(made.read("WAR-INF/MANIFEST.json"))
            self.assertEqual(["w.yaml", "h.py", "req.txt", "o.txt", "WAR-INF/MANIFEST.json"], made.namelist())
        self.assertEqual(["createdOn", "workflow", "archiverVersion"], list(manifest))
        self.assertEqual(
            ({"workflowName": "w", "specFile": "w.yaml", "handler": "h.py"}, "0.2.15"),
            (manifest["workflow"], manifest["archiverVersion"]),
        )

    def test_failures_leave_nothing(self) -> None:
        for words, message in (
            (("--handler", "src/no.py"), "[Errno 2] No such file or directory: 'src/no.py'"),
            (("--handler", "src/h.py:f"), "[Errno 2] No such file or directory: 'src/h.py:f'"),
            (("--extra-files", "src/other"), "[Errno 21] Is a directory: 'src/other'"),
            (("--workflow-name", "a/b"), "Workflow name contains special characters.\nThe allowed regular"),
            (("--export-path", "nowhere"), "Given export-path nowhere is not a directory."),
        ):
            with self.subTest(words):
                status, out, err = self.run_theirs(*words)
                self.assertEqual((1, ""), (status, out))
                self.assertTrue(err.startswith(f"ERROR - {message}"), err)
                self.assertEqual([], os.listdir("ours"))

    def test_an_existing_file_stays_unless_it_may_be_replaced(self) -> None:
        self.run_theirs("--handler", "src/h.py")
        status, _, err = self.run_theirs("--handler", "src/h.py")
        self.assertEqual(1, status)
        self.assertIn("option to overwrite the workflow archive output file.", err)
        self.assertEqual(
            (0, "", "WARNING - Overwriting ours/w.war ...\n"), self.run_theirs("--handler", "src/h.py", "-f")
        )

    def test_what_a_server_would_refuse_is_packed_and_told_of(self) -> None:
        status, _, err = self.run_theirs()
        self.assertEqual(0, status)
        self.assertEqual(
            "WARNING - A server will refuse it: handle: a node that is a function needs --handler.\n", err
        )
        self.assertEqual(["w.war"], os.listdir("ours"))


class WorkflowCommandTests(WorkflowArchiverCase):
    """``modelserver archive workflow`` and ``inspect``."""

    def test_it_says_what_it_made(self) -> None:
        self.assertEqual((0, "ours/w.war\n", ""), self.run_ours("--handler", "src/h.py"))

    def test_a_specification_that_a_server_would_refuse_is_not_packed(self) -> None:
        for spec, message in (
            ("models: {}\ndag: {}", "DAG should have only one start node"),
            (
                "models: {handle: {}}\ndag: {handle: []}",
                "models.handle: exactly one of url, model",
            ),
            ("models: [", "Failed to parse yaml. w.yaml: "),
        ):
            with self.subTest(spec):
                Path("src/w.yaml").write_text(spec)
                status, out, err = self.run_ours("--handler", "src/h.py")
                self.assertEqual((1, ""), (status, out))
                self.assertTrue(err.startswith(f"ERROR - {message}"), err)
                self.assertEqual([], os.listdir("ours"))

    def test_what_a_server_would_ignore_is_told(self) -> None:
        Path("src/w.yaml").write_text(f"{SPEC}owner: me\n")
        status, out, err = self.run_ours("--handler", "src/h.py")
        self.assertEqual((0, "ours/w.war\n"), (status, out))
        self.assertIn("WARNING - owner is ignored", err)

    def test_inspect(self) -> None:
        self.run_ours("--handler", "src/h.py")
        status, out, err = self.run_command(modelserver, "archive", "inspect", "ours/w.war")
        self.assertEqual((0, ""), (status, err))
        for line in (
            "workflow:  w",
            "handler:   h.py",
            "node:      handle (function handle) after the request",
            "node:      m (archive m.mar) after handle",
            "node:      r (model other version 2) after m",
        ):
            self.assertIn(line, out.splitlines())

    def test_inspect_for_programs(self) -> None:
        self.run_ours("--handler", "src/h.py")
        _, out, _ = self.run_command(modelserver, "archive", "inspect", "--json", "ours/w.war")
        document = json.loads(out)
        self.assertEqual({"name": "m", "is": "archive m.mar", "after": ["handle"]}, document["nodes"][1])
        self.assertEqual({"w.yaml", "h.py", "WAR-INF/MANIFEST.json"}, set(document["files"]))

    def test_inspect_refuses_what_the_server_refuses(self) -> None:
        Path("bad.war").write_text("no zip")
        status, _, err = self.run_command(modelserver, "archive", "inspect", "bad.war")
        self.assertEqual(1, status)
        self.assertIn("neither a zip nor a gzip-compressed tar", err)
