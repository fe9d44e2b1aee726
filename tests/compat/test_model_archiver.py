"""Archives that are packed from Python, as with ``torch-model-archiver``'s classes."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from zipfile import ZipFile

from modelserver.cli.archivers.torch_model_archiver import main
from modelserver.system.installation import COMPAT
from tests.harness.archivers import CommandCase


class ModelArchiverTests(CommandCase):
    """``model_archiver`` makes what the command makes."""

    def setUp(self) -> None:
        super().setUp()
        sys.path.append(str(COMPAT))
        self.addCleanup(sys.path.remove, str(COMPAT))
        self.module = import_module("model_archiver")
        self.assertTrue(Path(self.module.__file__ or "").is_relative_to(COMPAT))
        self.error = import_module("model_archiver.model_archiver_error").ModelArchiverError

    def content(self, archive: Path) -> dict[str, bytes]:
        """The files of an archive, without the time at which it was made."""
        with ZipFile(archive) as file:
            content = {name: file.read(name) for name in file.namelist()}
        manifest = json.loads(content["MAR-INF/MANIFEST.json"])
        del manifest["createdOn"]
        return {**content, "MAR-INF/MANIFEST.json": json.dumps(manifest).encode()}

    def test_all_options(self) -> None:
        files = {"model_file": "m.py", "serialized_file": "w.pt", "config_file": "conf.yaml"}
        options = {name: f"src/{file}" for name, file in {**files, "requirements_file": "req.txt"}.items()}
        options |= {"model_name": "m", "version": "2.0", "handler": "src/h.py", "runtime": "python3"}
        options["extra_files"] = "src/assets,src/index_to_name.json"
        words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
        self.assertEqual(0, main([*words, "--export-path", "theirs"]))
        config = self.module.ModelArchiverConfig(**options, export_path="ours")
        self.assertIsNone(self.module.ModelArchiver.generate_model_archive(config))
        self.assertEqual(self.content(self.folder / "theirs/m.mar"), self.content(self.folder / "ours/m.mar"))

    def test_paths_and_the_current_folder(self) -> None:
        config = self.module.ModelArchiverConfig(
            "m", Path("src/h.py"), "1", serialized_file=Path("src/w.pt"), archive_format="no-archive"
        )
        self.module.ModelArchiver.generate_model_archive(config)
        self.assertEqual({"MAR-INF", "h.py", "w.pt"}, {path.name for path in (self.folder / "m").iterdir()})

    def test_failures_say_why(self) -> None:
        config = self.module.ModelArchiverConfig("m", "src/h.py", "1", export_path="ours")
        pack = self.module.ModelArchiver.generate_model_archive
        pack(config)
        for changed, why in (
            ({}, "already exists"),
            ({"model_name": "?"}, "special characters"),
            ({"model_name": "n", "extra_files": "src/none"}, "File does not exist"),
            ({"archive_format": "rar"}, "'rar' is none of"),
        ):
            with self.subTest(why), self.assertRaisesRegex(self.error, why), self.assertLogs():
                pack(self.module.ModelArchiverConfig(**{**vars(config), **changed}))
        with self.assertLogs():
            pack(self.module.ModelArchiverConfig(**vars(config) | {"force": True}))

    def test_options_of_a_parser(self) -> None:
        config = self.module.ModelArchiverConfig("m", "src/h.py", "1", force=True)
        self.assertEqual(config, self.module.ModelArchiverConfig.from_args(Namespace(**vars(config), more=1)))

    def test_words_of_other_modules(self) -> None:
        manifest = import_module("model_archiver.manifest_components.manifest")
        packaging = import_module("model_archiver.model_packaging")
        config = self.module.ModelArchiverConfig("m", "src/h.py", "1", runtime=manifest.RuntimeType.LSP)
        with self.assertRaisesRegex(self.error, r"h\.py\.so"), self.assertLogs():
            packaging.generate_model_archive(config)
        self.assertEqual("0.12.0", self.module.__version__)
