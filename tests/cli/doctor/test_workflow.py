"""``doctor`` tells what of a workflow works, and what fails."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.cli.doctor.archive import examine_archive
from modelserver.cli.doctor.command import examine
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding
from modelserver.config.settings import Settings
from tests.harness.workflows import write_workflow

FUNCTIONS = "import os\ndef pre(data, context): return data\npost = pre\n"


class WorkflowTests(TestCase):
    """A workflow archive, without running it."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "noop.mar").touch()

    def findings(self, spec: str, functions: str = FUNCTIONS) -> tuple[Finding, ...]:
        """Examine an archive; whatever it is unpacked to must be gone."""
        write_workflow(self.folder / "w.war", spec, functions=functions)
        scratch = self.folder / "scratch"
        scratch.mkdir()
        settings = Settings(model_store=self.folder)
        report = examine_archive(
            self.folder / "w.war", Examination(scratch, settings, frozenset({"os"}).__contains__)
        )
        scratch.rmdir()
        return report.findings

    def test_good(self) -> None:
        self.assertEqual(
            (
                Finding("works", "workflow", "w: pre, c, post"),
                Finding("works", "node c", "noop.mar is in the model store."),
                Finding("works", "h.py", "It has pre, post; everything that it imports is here."),
            ),
            self.findings("models: {c: {url: noop.mar}}\ndag: {pre: [c], c: [post]}"),
        )

    def test_models(self) -> None:
        spec = "models: {a: {url: no.mar}, b: {url: 'https://h/b.mar'}, c: {model: m}}\ndag: {a: [b], b: [c]}"
        self.assertEqual(
            (
                Finding("works", "workflow", "w: a, b, c"),
                Finding("fails", "node a", f"no.mar is not in the model store {self.folder}."),
                Finding("works", "node b", "https://h/b.mar"),
                Finding("differs", "node c", "The model m must be registered before the workflow."),
            ),
            self.findings(spec),
        )

    def test_functions(self) -> None:
        spec = "models: {}\ndag: {pre: [gone]}"
        for functions, text in (
            (FUNCTIONS, "It has no function gone."),
            (
                f"import absent\n{FUNCTIONS}gone = 1",
                "absent, imported by h.py in line 1, is not installed here.",
            ),
            ("def pre(", "h.py, line 1, is not Python 3: "),
        ):
            with self.subTest(functions):
                (failing,) = (each for each in self.findings(spec, functions) if each.verdict == "fails")
                self.assertEqual("h.py", failing.what)
                self.assertTrue(failing.text.startswith(text), failing.text)

    def test_what_a_server_would_refuse_fails(self) -> None:
        (finding,) = self.findings("models: {}\ndag: {}")
        self.assertEqual(("fails", "w.war"), (finding.verdict, finding.what))
        self.assertIn("DAG should have only one start node", finding.text)

    def test_what_is_ignored_is_told(self) -> None:
        found = self.findings("owner: me\nmodels: {}\ndag: {pre: []}")
        self.assertIn(("ignored", "w.yaml"), [(finding.verdict, finding.what) for finding in found])

    def test_a_configuration_leads_to_its_workflows(self) -> None:
        write_workflow(self.folder / "w.war")
        (self.folder / "config.properties").write_text(
            "workflow_store=.\nload_workflows=w.war,absent.war\nmodel_store=."
        )
        reports = list(examine([self.folder / "config.properties"], {}, self.folder))
        self.assertEqual(["w.war"], [Path(report.title).name for report in reports[1:]])
        self.assertIn("absent.war", [found.what for found in reports[0].findings if found.verdict == "fails"])
