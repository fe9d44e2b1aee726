"""The steps of ``torch-model-archiver`` and ``torch-workflow-archiver``, as programs take them one by one."""

from __future__ import annotations

import json
import os
import sys
import tarfile
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from modelserver.system.installation import COMPAT
from tests.harness.archivers import CommandCase


class StepsTestCase(CommandCase):
    """The packages are last on the path, as in a worker."""

    def setUp(self) -> None:
        super().setUp()
        sys.path.append(str(COMPAT))
        self.addCleanup(sys.path.remove, str(COMPAT))


class ModelStepsTests(StepsTestCase):
    """``ModelExportUtils``."""

    def setUp(self) -> None:
        super().setUp()
        module = import_module("model_archiver.model_packaging_utils")
        self.steps, self.error = module.ModelExportUtils, module.ModelArchiverError
        self.options = {"version": "2.0", "handler": "src/h.py", "serialized_file": "src/w.pt"}

    def config(self, **more: Any) -> Any:
        """A configuration of ``m``."""
        return import_module("model_archiver").ModelArchiverConfig("m", **{**self.options, **more})

    def test_manifest_of_ones_own(self) -> None:
        config = self.config(export_path="ours")
        manifest = json.loads(self.steps.generate_manifest_json(config))
        self.assertEqual(
            manifest["model"],
            {"modelName": "m", "serializedFile": "w.pt", "handler": "h.py", "modelVersion": "2.0"},
        )
        manifest["model"]["extensions"] = {"a": 1}
        import_module("model_archiver.model_packaging").package_model(config, json.dumps(manifest))
        with ZipFile("ours/m.mar") as archive:
            self.assertEqual({"h.py", "w.pt", "MAR-INF/MANIFEST.json"}, set(archive.namelist()))
            self.assertEqual(json.loads(archive.read("MAR-INF/MANIFEST.json")), manifest)
            self.assertEqual(archive.read("w.pt"), Path("src/w.pt").read_bytes())

    def test_nothing_is_left_behind(self) -> None:
        self.patch(import_module("tempfile"), "tempdir", os.path.abspath(self.mktemp()))
        os.mkdir(import_module("tempfile").gettempdir())
        package = import_module("model_archiver.model_packaging").package_model
        package(self.config(export_path="ours"), "{}")
        with self.assertLogs(), self.assertRaises(FileNotFoundError):
            package(self.config(export_path="ours", force=True, extra_files="src/none"), "{}")
        self.assertEqual(os.listdir(import_module("tempfile").gettempdir()), [])

    def test_steps_one_by_one(self) -> None:
        with self.assertRaises(FileNotFoundError):
            self.steps.copy_artifacts("m", "python", handler="src/h.py", extra_files="src/none")
        copies = self.steps.copy_artifacts("m", "python", handler="src/h", extra_files="src/assets")
        self.addCleanup(import_module("shutil").rmtree, copies)
        self.assertFalse(any(path.is_symlink() for path in Path(copies).iterdir()))
        for form in ("default", "tgz", "no-archive"):
            self.steps.archive("ours", "m", copies, "{}", archive_format=form)
        with ZipFile("ours/m.mar") as archive, tarfile.open("ours/m.tar.gz") as tar:
            names = set(archive.namelist())
            self.assertIn("h.py", names)
            self.assertEqual({f"m/{name}" for name in names}, set(tar.getnames()))
        found = {path.relative_to("ours/m") for path in Path("ours/m").rglob("*") if path.is_file()}
        self.assertEqual(names, {path.as_posix() for path in found})
        with ZipFile("by_hand.zip", "w") as archive:
            self.steps.archive_dir(copies, archive, "default", "m")
            self.assertEqual(names - {"MAR-INF/MANIFEST.json"}, set(archive.namelist()))

    def test_checks(self) -> None:
        self.assertRaises(self.error, self.steps.validate_inputs, "a b", "ours")
        self.assertRaises(self.error, self.steps.validate_inputs, "m", "nowhere")
        self.assertIsNone(self.steps.validate_inputs("m", "ours"))
        self.assertEqual(self.steps.check_mar_already_exists("m", None, False), os.getcwd())
        Path("ours/m.tar.gz").write_text("")
        self.assertRaises(self.error, self.steps.check_mar_already_exists, "m", "ours", False, "tgz")
        with self.assertLogs():
            self.assertEqual(self.steps.check_mar_already_exists("m", "ours", True, "tgz"), "ours")
        self.assertRaises(self.error, self.steps.find_unique, ["a.onnx", "b.onnx"], ".onnx")
        self.assertEqual(self.steps.find_unique(["a.onnx", "b.pt"], ".onnx"), "a.onnx")
        self.assertIsNone(self.steps.find_unique([], ".onnx"))
        self.assertEqual(
            [self.steps.file_filter(name, {"b"}) for name in ("a", "b", "c.pyc", "MANIFEST.json")],
            [True, False, False, False],
        )
        self.assertEqual(
            [self.steps.directory_filter(name) for name in ("a", "__pycache__", ".git")],
            [True, False, False],
        )

    def test_options_of_the_command(self) -> None:
        words = ["torch-model-archiver", "--model-name", "m", "-v", "1", "--handler", "src/h.py"]
        self.patch(sys, "argv", [*words, "--export-path", "ours", "--archive-format", "zip-store"])
        import_module("model_archiver.model_packaging").generate_model_archive()
        self.assertTrue(os.path.exists("ours/m.mar"))


class WorkflowStepsTests(StepsTestCase):
    """``workflow_archiver``."""

    def setUp(self) -> None:
        super().setUp()
        self.packaging = import_module("workflow_archiver.workflow_packaging")
        Path("spec.yaml").write_text("dag: {a: [b]}")

    def options(self, **more: Any) -> Namespace:
        """Options of ``w``."""
        named = {"handler": "src/h.py", "extra_files": "src/req.txt", "export_path": "ours", "force": False}
        return Namespace(workflow_name="w", spec_file="spec.yaml", **{**named, **more})

    def test_archive(self) -> None:
        options = self.options()
        manifest = self.packaging.WorkflowExportUtils.generate_manifest_json(options)
        self.assertEqual(
            json.loads(manifest)["workflow"],
            {"workflowName": "w", "specFile": "spec.yaml", "handler": "h.py"},
        )
        self.packaging.package_workflow(options, manifest)
        with ZipFile("ours/w.war") as archive:
            self.assertEqual(
                {"spec.yaml", "h.py", "req.txt", "WAR-INF/MANIFEST.json"}, set(archive.namelist())
            )
            self.assertEqual(archive.read("WAR-INF/MANIFEST.json").decode(), manifest)

    def test_failures_end_the_program(self) -> None:
        for changed in ({"workflow_name": "?"}, {"export_path": "nowhere"}):
            with self.subTest(str(changed)), self.assertLogs(), self.assertRaises(SystemExit):
                self.packaging.package_workflow(Namespace(**{**vars(self.options()), **changed}), "{}")
        self.packaging.package_workflow(self.options(), "{}")
        with self.assertLogs(), self.assertRaises(SystemExit):
            self.packaging.package_workflow(self.options(), "{}")
        with self.assertLogs():
            self.packaging.package_workflow(self.options(force=True), "{}")

    def test_options_of_the_command(self) -> None:
        words = ["torch-workflow-archiver", "--workflow-name", "w", "--spec-file", "spec.yaml"]
        self.patch(sys, "argv", [*words, "--export-path", "ours"])
        self.packaging.generate_workflow_archive()
        self.assertTrue(os.path.exists("ours/w.war"))
        self.assertEqual("0.2.15", import_module("workflow_archiver").__version__)
