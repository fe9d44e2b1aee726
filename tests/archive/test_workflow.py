"""A workflow archive that was unpacked: what it must hold."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.archive.workflow import read_workflow
from modelserver.errors import ServingError
from modelserver.workflows.errors import WorkflowInvalid

SPEC = "models: {}\ndag: {f: []}\n"
MANIFEST = {
    "createdOn": "29/11/2026 10:00:00",
    "archiverVersion": "0.2.15",
    "workflow": {"workflowName": "w", "specFile": "w.yaml", "handler": "h.py"},
}


def without(*path: str) -> dict[str, object]:
    """Return the manifest without one of its keys."""
    document: dict[str, object] = json.loads(json.dumps(MANIFEST))
    inner = document
    for key in path[:-1]:
        found = inner[key]
        assert isinstance(found, dict)
        inner = found
    del inner[path[-1]]
    return document


def with_workflow(**values: object) -> dict[str, object]:
    """Return the manifest with other values of the workflow."""
    return {**MANIFEST, "workflow": {**MANIFEST["workflow"], **values}}  # type: ignore[dict-item]  # a mapping


# manifest, what is said
REFUSED: list[tuple[object, str]] = [
    (without("workflow"), "Workflow name is not defined."),
    ({**MANIFEST, "workflow": None}, "Workflow name is not defined."),
    (without("workflow", "workflowName"), "Workflow name is not defined."),
    (with_workflow(workflowName=""), "Workflow name is not defined."),
    (without("archiverVersion"), "Workflow archive version is not defined."),
    (without("createdOn"), "Workflow archive createdOn is not defined."),
    (without("workflow", "specFile"), "specFile is not defined in WAR-INF/MANIFEST.json."),
    (
        without("workflow", "handler"),
        "Node f is a function, and handler is not defined in WAR-INF/MANIFEST.json.",
    ),
    (
        with_workflow(specFile="x.yaml"),
        "x.yaml is named by WAR-INF/MANIFEST.json (specFile) and not in the archive.",
    ),
    (
        with_workflow(handler="x.py"),
        "x.py is named by WAR-INF/MANIFEST.json (handler) and not in the archive.",
    ),
    (
        with_workflow(handler="h.py:f"),
        "The handler in WAR-INF/MANIFEST.json must be a file, without a function.",
    ),
    (with_workflow(specFile="../w.yaml"), "specFile must be a file inside the archive."),
    (with_workflow(handler="/etc/h.py"), "handler must be a file inside the archive."),
    (with_workflow(specFile="."), ". cannot be read: Is a directory."),
    ([], "Failed to parse signature.json. it is not a JSON object."),
    ({**MANIFEST, "workflow": []}, "Failed to parse signature.json. workflow must be an object."),
]


class WorkflowContentTests(TestCase):
    """Reading one folder."""

    def setUp(self) -> None:
        temporary = TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)
        (self.folder / "w.yaml").write_text(SPEC)
        (self.folder / "h.py").write_text("")

    def write(self, manifest: object) -> None:
        """Write the manifest."""
        target = self.folder / "WAR-INF" / "MANIFEST.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))

    def test_a_whole_archive_is_read(self) -> None:
        self.write(MANIFEST)
        content = read_workflow(self.folder)
        self.assertEqual(
            ("w", "w.yaml", "h.py"),
            (content.manifest.name, content.manifest.spec_file, content.manifest.handler),
        )
        self.assertEqual(MANIFEST, content.manifest.raw)
        self.assertEqual(["f"], list(content.spec.nodes))

    def test_what_is_missing_or_wrong_is_said(self) -> None:
        for manifest, message in REFUSED:
            with self.subTest(message), self.assertRaises(WorkflowInvalid) as caught:
                self.write(manifest)
                read_workflow(self.folder)
            self.assertEqual(message, str(caught.exception))

    def test_without_a_manifest_there_is_no_name(self) -> None:
        with self.assertRaisesRegex(WorkflowInvalid, "Workflow name is not defined."):
            read_workflow(self.folder)

    def test_a_manifest_that_is_no_json_is_refused(self) -> None:
        for text in ("{", '{"a": NaN}', "[" * 100_000):
            with (
                self.subTest(text[:10]),
                self.assertRaisesRegex(WorkflowInvalid, "^Failed to parse signature.json."),
            ):
                self.write(text)
                read_workflow(self.folder)

    def test_a_handler_is_needed_only_for_functions(self) -> None:
        self.write(without("workflow", "handler"))
        (self.folder / "w.yaml").write_text("models: {f: {url: f.mar}}\ndag: {f: []}\n")
        self.assertIsNone(read_workflow(self.folder).manifest.handler)

    def test_a_specification_is_read_within_limits(self) -> None:
        self.write(MANIFEST)
        (self.folder / "w.yaml").write_text("#" * (1024 * 1024 + 1))
        with self.assertRaisesRegex(ServingError, "w.yaml cannot be read: it is larger than 1048576 bytes."):
            read_workflow(self.folder)
