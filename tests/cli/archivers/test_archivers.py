"""The commands that pack archives, alone and beside the originals where those are installed."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from modelserver.cli.archivers import command as archive
from modelserver.cli.archivers import model_archiver, torch_model_archiver

Command = Callable[[Sequence[str]], int]

SOURCES = {
    "h.py": "def handle(data, context): return data\n",
    "é.py": "def handle(data, context): return data\n",
    "m.py": "class Net: ...\n",
    "w.pt": "weights",
    "index_to_name.json": "{}",
    "conf.yaml": "batchSize: 2\n",
    "req.txt": "attrs\n",
    "assets/a.txt": "a",
    "assets/.hidden": "hidden",
    "assets/.folder/x": "x",
    "assets/__pycache__/p.pyc": "p",
    "assets/__MACOSX/q": "q",
    "assets/sub/b.pyc": "b",
    "assets/sub/deep/c.txt": "c",
    "other/h.py": "other",
    "other/o.txt": "o",
    "folder/svc.py": "service",
    "folder/svc.pyc": "compiled",
    "folder/.DS_Store": "finder",
    "folder/old.mar": "old",
    "folder/MANIFEST.json": "{}",
    "folder/MAR-INF/MANIFEST.json": "{}",
    "folder/sub/MANIFEST.json": "{}",
    "folder/sub/data": "data",
    "folder/__pycache__/p": "p",
    "onnx/a.onnx": "a",
    "two/a.onnx": "a",
    "two/b.onnx": "b",
}


def modelserver(words: Sequence[str]) -> int:
    """The command ``modelserver``, with its subcommand ``archive`` alone."""
    parser = argparse.ArgumentParser()
    archive.add_parser(parser.add_subparsers())
    arguments = parser.parse_args(words)
    status: int = arguments.run(arguments)
    return status


class CommandCase(SynchronousTestCase):
    """A fresh folder with sources, which is the current one."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(os.chdir, Path.cwd())
        for name, text in SOURCES.items():
            path = self.folder / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in ("ours", "theirs"):
            (self.folder / name).mkdir()
        os.chdir(self.folder)

    def run_command(self, command: Command, *words: str) -> tuple[int, str, str]:
        """The exit status, stdout and stderr of one of our commands."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = command(words)
            except SystemExit as end:
                status = int(end.code or 0)
        return status, out.getvalue(), err.getvalue()


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


EVERYTHING = (
    "--handler", "src/h.py", "--serialized-file", "src/w.pt", "--model-file", "src/m.py",
    "--extra-files", "src/index_to_name.json,src/assets,src/other/o.txt",
    "-r", "src/req.txt", "-c", "src/conf.yaml",
)  # fmt: skip

# words for torch-model-archiver that work, beside name, version and export path
TS_PACKS = [
    EVERYTHING,
    (*EVERYTHING, "--archive-format", "tgz"),
    (*EVERYTHING, "--archive-format", "no-archive"),
    (*EVERYTHING, "--archive-format", "zip-store"),
    ("--handler", "src/h:handle", "--runtime", "python3"),
    ("--handler", "src/h:f:g"),
    ("--handler", "src/é.py"),
    ("--handler", "image_classifier", "--serialized-file", "src/w.pt"),
    ("--handler", "BaseHandler", "--runtime", "LSP"),
    ("--handler", "base_handler", "--archive-format", "tgz"),
    ("--handler", ""),
    ("--handler", "src/h.py", "--extra-files", "src/other"),
    ("--handler", "src/h.py", "--extra-files", "src/assets/*"),
    ("--handler", "src/h.py", "--extra-files", "src/*.p?,src/[c]onf.*"),
    ("--handler", "src/h.py", "--extra-files", "no/*,"),
    ("--handler", "src/h.py", "--extra-files", "src/assets/__pycache__,src/assets/.folder"),
    ("--handler", "src/h.py", "--model-file", "src/other/h.py"),
    ("--handler", "src/h.py", "--extra-files", "src/w.pt", "-r", "src/other/h.py"),
    ("--hand", "src/h.py", "--arch", "zip-store"),
]

# words for torch-model-archiver that do not
TS_FAILURES = [
    ("--handler", "no"),
    ("--handler", "src/no.py"),
    ("--handler", "image_classifier:handle"),
    ("--handler", "src/h.py", "--runtime", "LSP"),
    ("--handler", "src/h.py", "--serialized-file", "src/no.pt"),
    ("--handler", "src/h.py", "--serialized-file", "src/other"),
    ("--handler", "src/h.py", "--extra-files", "src/no.txt"),
    ("--handler", "src/h.py", "--extra-files", "src/w.pt, src/m.py"),
    ("--handler", "src/h.py", "-c", "src/no.yaml"),
    ("--handler", "src/h.py", "--model-name", "a/b"),
    ("--handler", "src/h.py", "--export-path", "nowhere"),
    ("--handler", "src/h.py", "--export-path", "src/h.py"),
    ("--handler", "src/h.py", "--runtime", "python2"),
    ("--handler", "src/h.py", "--archive-format", "rar"),
]

MMS_PACKS = [
    ("--model-path", "src/folder"),
    ("--model-path", "src/folder", "--archive-format", "tgz"),
    ("--model-path", "src/folder", "--archive-format", "no-archive"),
    ("--model-path", "src/folder", "--runtime", "python2"),
    ("--model-path", "src/folder", "--handler", "no.py:such"),
    ("--model-path", "src/folder", "--convert"),
    ("--model-path", "src/onnx"),
    ("--model-path", "src/assets"),
]

MMS_FAILURES = [
    ("--model-path", "src/no"),
    ("--model-path", "src/h.py"),
    ("--model-path", "src/folder", "--model-name", "_m"),
    ("--model-path", "src/folder", "--export-path", "nowhere"),
    ("--model-path", "src/folder", "--runtime", "LSP"),
]


def content_of(export_path: Path) -> dict[str, tuple[int, bytes]]:
    """What one export path holds: for each file its permissions and bytes, the date of a manifest hidden."""
    (made,) = export_path.iterdir()
    if made.is_dir():
        files = {
            f"{made.name}/{path.relative_to(made)}": (path.stat().st_mode & 0o777, path.read_bytes())
            for path in made.rglob("*")
            if path.is_file()
        }
    elif made.suffix == ".gz":
        with tarfile.open(made) as tar:
            files = {
                info.name: (info.mode, file.read())
                for info in tar
                if (file := tar.extractfile(info)) is not None
            }
    else:
        with zipfile.ZipFile(made) as container:
            files = {
                f"{info.compress_type}:{info.filename}": (
                    (info.external_attr >> 16) & 0o777,
                    container.read(info),
                )
                for info in container.infolist()
            }
    hidden = {
        name: (mode, re.sub(rb'"createdOn": "[^"]{19}"', b'"createdOn": ""', content))
        for name, (mode, content) in files.items()
    }
    return {f"{made.name} {name}": value for name, value in hidden.items()}


class PeerCase(CommandCase):
    """One of the originals, in the environment that a variable names."""

    def peer(self, variable: str, name: str) -> Path:
        """The original's command."""
        command = Path(os.environ.get(variable, "/nowhere"), name)
        if not command.is_file():
            raise SkipTest(f"{variable} does not name a folder with {name}")
        return command

    def both(
        self, peer: Path, ours: Command, words: Sequence[str]
    ) -> tuple[tuple[int, str], tuple[int, str]]:
        """Exit status and last words on stderr of the original and of ours, each in a folder of its own."""
        defaults = ("--model-name", "m", "--export-path")
        # The original works in a folder of the temporary one that is named after the model.
        environment = {**os.environ, "TMPDIR": tempfile.mkdtemp(dir=self.folder)}
        theirs = subprocess.run(
            [peer, *defaults, "theirs", *words], capture_output=True, text=True, env=environment, check=False
        )
        status, _, err = self.run_command(ours, *defaults, "ours", *words)
        return (theirs.returncode, self.gist(theirs.stderr)), (status, self.gist(err))

    def clear(self) -> None:
        """Empty both folders."""
        for name in ("ours", "theirs"):
            shutil.rmtree(name)
            os.mkdir(name)

    def gist(self, stderr: str) -> str:
        """The last line that was written, without who says it."""
        # How argparse lists choices depends on the version of Python.
        last = stderr.strip().replace("theirs", "ours").rsplit("\n", 1)[-1].partition(" (choose from")[0]
        return re.sub(r"^(ERROR - |WARNING - |[\w.]*Error: |[\w-]+: error: )", "", last)

    def check_pack(self, peer: Path, ours: Command, words: Sequence[str]) -> None:
        """Both make the same archive."""
        with self.subTest(" ".join(words)):
            self.clear()
            theirs, mine = self.both(peer, ours, words)
            self.assertEqual((mine[0], theirs), (0, mine))
            self.assertEqual(content_of(Path("ours")), content_of(Path("theirs")))

    def check_failure(self, peer: Path, ours: Command, words: Sequence[str]) -> None:
        """Both refuse, with the same words."""
        with self.subTest(" ".join(words)):
            self.clear()
            theirs, mine = self.both(peer, ours, words)
            self.assertEqual(mine, theirs)
            self.assertNotEqual(mine[0], 0)
            self.assertEqual(os.listdir("ours"), [])


class BesideTorchServeTests(PeerCase):
    """``torch-model-archiver`` of the folder ``MODELSERVER_PEER_TS``."""

    def setUp(self) -> None:
        super().setUp()
        self.command = self.peer("MODELSERVER_PEER_TS", "torch-model-archiver")

    def test_same_archives(self) -> None:
        for words in TS_PACKS:
            self.check_pack(self.command, torch_model_archiver.main, ("-v", "1.0", *words))
        self.check_pack(self.command, torch_model_archiver.main, ("-v", "", "--handler", "src/h.py"))

    def test_originals_are_opened(self) -> None:
        for form in torch_model_archiver.FORMATS:
            self.clear()
            words = ("-v", "1.0", *EVERYTHING, "--archive-format", form)
            self.both(self.command, torch_model_archiver.main, words)
            (theirs,) = Path("theirs").iterdir()
            seen = archive.inspect_archive(theirs)
            self.assertEqual(
                (seen.manifest.model_name, seen.config, seen.problems), ("m", {"batchSize": 2}, [])
            )
            (mine,) = Path("ours").iterdir()
            self.assertEqual(archive.inspect_archive(mine).files, seen.files)

    def test_same_words_for_what_exists(self) -> None:
        for form in torch_model_archiver.FORMATS:
            self.clear()
            words = ("-v", "1.0", "--handler", "src/h.py", "--archive-format", form)
            self.both(self.command, torch_model_archiver.main, words)
            theirs, mine = self.both(self.command, torch_model_archiver.main, words)
            self.assertEqual(mine, theirs)
            self.assertEqual(mine[0], 1)
            theirs, mine = self.both(self.command, torch_model_archiver.main, (*words, "-f"))
            self.assertEqual(mine, theirs)
            self.assertIn("Overwriting ours/m", mine[1])

    def test_same_refusals(self) -> None:
        for words in TS_FAILURES:
            self.check_failure(self.command, torch_model_archiver.main, ("-v", "1.0", *words))


class BesideMultiModelServerTests(PeerCase):
    """``model-archiver`` of the folder ``MODELSERVER_PEER_MMS``."""

    def setUp(self) -> None:
        super().setUp()
        self.command = self.peer("MODELSERVER_PEER_MMS", "model-archiver")

    def test_same_archives(self) -> None:
        for words in MMS_PACKS:
            self.check_pack(self.command, model_archiver.main, ("--handler", "svc:handle", *words))

    def test_same_refusals(self) -> None:
        for words in MMS_FAILURES:
            self.check_failure(self.command, model_archiver.main, ("--handler", "svc:handle", *words))
