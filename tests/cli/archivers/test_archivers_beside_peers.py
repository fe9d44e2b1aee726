"""The commands that pack archives, beside the originals where those are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SkipTest

from modelserver.archive import pack_arguments
from modelserver.archive.unpack import unpack
from modelserver.archive.workflow import read_workflow
from modelserver.cli.archivers import command as archive
from modelserver.cli.archivers import model_archiver, torch_model_archiver, torch_workflow_archiver
from tests.harness.archivers import Command, CommandCase

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

# words for torch-workflow-archiver that work, and words that do not
WORKFLOW_PACKS = [
    ("--spec-file", "src/w.yaml", "--handler", "src/h.py"),
    ("--spec-file", "src/w.yaml", "--handler", "src/h.py", "--extra-files", "src/req.txt,src/other/o.txt"),
    ("--spec", "src/w.yaml", "--hand", "src/h.py", "--extra-files", "src/m.py"),
]
WORKFLOW_FAILURES = [
    ("--spec-file", "src/no.yaml", "--handler", "src/h.py"),
    ("--spec-file", "src/w.yaml", "--handler", "src/no.py"),
    ("--spec-file", "src/w.yaml", "--handler", "src/h.py:handle"),
    ("--spec-file", "src/w.yaml", "--handler", "src/h.py", "--extra-files", "src/other"),
    ("--spec-file", "src/w.yaml", "--handler", "src/h.py", "--workflow-name", "a/b"),
    ("--spec-file", "src/w.yaml", "--handler", "src/h.py", "--export-path", "nowhere"),
    ("--handler", "src/h.py"),
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
    """
    One of the originals, in the environment that a variable names.

    :cvar name_option: names what is packed.
    """

    name_option = "--model-name"

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
        defaults = (self.name_option, "m", "--export-path")
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
        for form in pack_arguments.FORMATS:
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
        for form in pack_arguments.FORMATS:
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


class BesideWorkflowArchiverTests(PeerCase):
    """``torch-workflow-archiver`` of the folder ``MODELSERVER_PEER_TS``."""

    name_option = "--workflow-name"

    def setUp(self) -> None:
        super().setUp()
        self.command = self.peer("MODELSERVER_PEER_TS", "torch-workflow-archiver")
        Path("src/w.yaml").write_text("models: {}\ndag: {handle: []}\n")

    def test_same_archives(self) -> None:
        for words in WORKFLOW_PACKS:
            self.check_pack(self.command, torch_workflow_archiver.main, words)

    def test_originals_are_read(self) -> None:
        self.both(self.command, torch_workflow_archiver.main, WORKFLOW_PACKS[0])
        (theirs,) = Path("theirs").iterdir()
        unpack(theirs, self.folder / "unpacked")
        content = read_workflow(self.folder / "unpacked")
        self.assertEqual(("m", ["handle"]), (content.manifest.name, list(content.spec.nodes)))

    def test_same_words_for_what_exists(self) -> None:
        for words in (WORKFLOW_PACKS[0], (*WORKFLOW_PACKS[0], "-f")):
            self.both(self.command, torch_workflow_archiver.main, WORKFLOW_PACKS[0])
            theirs, mine = self.both(self.command, torch_workflow_archiver.main, words)
            self.assertEqual(mine, theirs)

    def test_same_refusals(self) -> None:
        for words in WORKFLOW_FAILURES:
            self.check_failure(self.command, torch_workflow_archiver.main, words)


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
