"""The commands that pack archives."""

from __future__ import annotations

import argparse
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from modelserver.cli.archivers import command as archive
from modelserver.cli.archivers import model_archiver, torch_model_archiver
from tests.harness.archivers import CommandCase


def modelserver(words: Sequence[str]) -> int:
    """The command ``modelserver``, with its subcommand ``archive`` alone."""
    parser = argparse.ArgumentParser()
    archive.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(words)
    status: int = arguments.run(arguments)
    return status


class TorchModelArchiverTests(CommandCase):
    """``torch-model-archiver``."""

    common = ("--model-name", "m", "--version", "1.0", "--export-path", "ours")

    def test_silent_on_success(self) -> None:
        result = self.run_command(torch_model_archiver.main, *self.common, "--handler", "src/h.py")
        self.assertEqual(result, (0, "", ""))
        self.assertEqual(os.listdir("ours"), ["m.mar"])

    def test_current_folder_is_the_default(self) -> None:
        words = ("--model-name", "m", "-v", "1", "--handler", "src/h")
        self.assertEqual(self.run_command(torch_model_archiver.main, *words), (0, "", ""))
        self.assertTrue(Path("m.mar").exists())

    def test_failure(self) -> None:
        status, out, err = self.run_command(torch_model_archiver.main, *self.common, "--handler", "src/no.py")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "ERROR - [Errno 2] No such file or directory: 'src/no.py'\n")

    def test_warning(self) -> None:
        words = (*self.common, "--handler", "src/h.py", "--extra-files", "no/*")
        status, out, err = self.run_command(torch_model_archiver.main, *words)
        self.assertEqual((status, out), (0, ""))
        self.assertEqual(err, "WARNING - Given wildcard pattern did not match any file: no/*\n")

    def test_missing_options(self) -> None:
        status, _, err = self.run_command(torch_model_archiver.main)
        self.assertEqual(status, 2)
        self.assertIn("required: --model-name, --handler, -v/--version", err)


class ModelArchiverTests(CommandCase):
    """``model-archiver``."""

    common = ("--model-name", "m", "--handler", "svc:handle", "--export-path", "ours")

    def test_silent_on_success(self) -> None:
        result = self.run_command(model_archiver.main, *self.common, "--model-path", "src/folder")
        self.assertEqual(result, (0, "", ""))
        self.assertEqual(os.listdir("ours"), ["m.mar"])

    def test_convert_without_onnx_does_nothing(self) -> None:
        words = (*self.common, "--model-path", "src/folder", "--convert")
        self.assertEqual(self.run_command(model_archiver.main, *words), (0, "", ""))

    def test_convert_needs_mxnet(self) -> None:
        status, _, err = self.run_command(model_archiver.main, *self.common, "--model-path", "src/onnx", "-c")
        self.assertEqual(status, 1)
        self.assertIn("MXNet models are not supported", err)
        self.assertEqual(os.listdir("ours"), [])

    def test_convert_takes_one_file(self) -> None:
        status, _, err = self.run_command(model_archiver.main, *self.common, "--model-path", "src/two", "-c")
        self.assertEqual(status, 1)
        self.assertIn("only one .onnx file in the folder. Found 2 files ['a.onnx', 'b.onnx'] in", err)

    def test_missing_options(self) -> None:
        status, _, err = self.run_command(model_archiver.main)
        self.assertEqual(status, 2)
        self.assertIn("required: --model-name, --model-path, --handler", err)


class ArchiveCommandTests(CommandCase):
    """``modelserver archive``."""

    def pack(self, *words: str) -> str:
        """Pack an archive; returns where it is."""
        common = ("--model-name", "m", "-v", "2.0", "--export-path", "ours")
        status, out, err = self.run_command(modelserver, "archive", "pack", *common, *words)
        self.assertEqual((status, err), (0, ""))
        return out.strip()

    def test_pack_says_what_it_made(self) -> None:
        self.assertEqual(self.pack("--handler", "src/h.py"), "ours/m.mar")

    def test_pack_that_fails(self) -> None:
        words = ("archive", "pack", "--model-name", "m", "-v", "1", "--handler", "no")
        status, out, err = self.run_command(modelserver, *words)
        self.assertEqual((status, out), (1, ""))
        self.assertTrue(err.startswith("ERROR - "))

    def test_inspect(self) -> None:
        for form in ("default", "tgz", "no-archive"):
            with self.subTest(form):
                made = self.pack(
                    "--handler", "src/h.py:handle", "-c", "src/conf.yaml", "--archive-format", form
                )
                status, out, err = self.run_command(modelserver, "archive", "inspect", made)
                self.assertEqual((status, err), (0, ""))
                for line in ("model:    m", "version:  2.0", "handler:  h.py:handle", "runtime:  python"):
                    self.assertIn(line, out.splitlines())
                self.assertRegex(out, r"(?m)^ +39  h\.py$")
                self.assertNotIn("problem", out)

    def test_inspect_for_programs(self) -> None:
        made = self.pack("--handler", "src/h.py", "-c", "src/conf.yaml")
        _, out, _ = self.run_command(modelserver, "archive", "inspect", "--json", made)
        document = json.loads(out)
        self.assertEqual(document["modelConfig"], {"batchSize": 2})
        self.assertEqual(document["manifest"]["model"]["modelVersion"], "2.0")
        self.assertEqual(set(document["files"]), {"h.py", "conf.yaml", "MAR-INF/MANIFEST.json"})
        self.assertEqual(document["problems"], [])

    def test_inspect_tells_problems(self) -> None:
        manifest = {"model": {"serializedFile": "w.pt", "configFile": "conf.yaml"}}
        with zipfile.ZipFile("bad.mar", "w") as container:
            container.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
            container.writestr("conf.yaml", "a: !!python/tuple [1]")
        status, out, _ = self.run_command(modelserver, "archive", "inspect", "bad.mar")
        self.assertEqual(status, 0)
        problems = [line for line in out.splitlines() if line.startswith("problem:")]
        self.assertEqual(len(problems), 3)

    def test_inspect_refuses_what_the_server_refuses(self) -> None:
        with zipfile.ZipFile("slip.mar", "w") as container:
            container.writestr("../evil", "x")
        status, out, err = self.run_command(modelserver, "archive", "inspect", "slip.mar")
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(err, "ERROR - Failed to save model: slip.mar (entry '../evil' leaves the target)\n")
        self.assertEqual(self.run_command(modelserver, "archive", "inspect", "no.mar")[0], 1)
