"""Handlers that are being written, as model folders."""

from __future__ import annotations

import json
import zipfile

from modelserver.archive.manifest import MANIFEST, read_manifest
from modelserver.archive.project import Project
from modelserver.errors import ArchiveInvalid
from tests.harness.folder import FolderCase


class ProjectTests(FolderCase):
    """What a folder says of its model, and the model folder that is made of it."""

    def setUp(self) -> None:
        super().setUp()
        self.target = self.folder / "served"
        self.folder = self.folder / "words"
        self.folder.mkdir()
        self.write("handler.py")

    def write(self, name: str, content: bytes = b"") -> None:
        (self.folder / name).write_bytes(content)

    def model(self) -> dict[str, object]:
        """The model of the manifest that is written."""
        Project.of_folder(self.folder).link(self.target)
        document = json.loads((self.target / MANIFEST).read_text())
        found: dict[str, object] = document["model"]
        return found

    def test_a_handler_is_all_that_is_needed(self) -> None:
        self.assertEqual({"modelName": "words", "modelVersion": "1.0", "handler": "handler.py"}, self.model())
        self.assertEqual("handler.py", read_manifest(self.target).handler)

    def test_a_folder_without_a_handler_is_none(self) -> None:
        (self.folder / "handler.py").unlink()
        self.assertRaises(ArchiveInvalid, Project.of_folder, self.folder)

    def test_files_with_a_meaning_stand_in_the_manifest(self) -> None:
        self.write("model-config.yaml")
        self.write("requirements.txt")
        model = self.model()
        self.assertEqual(
            ("model-config.yaml", "requirements.txt"), (model["configFile"], model["requirementsFile"])
        )

    def test_weights_come_with_their_network(self) -> None:
        self.write("net.pth")
        self.write("model.py")
        model = self.model()
        self.assertEqual(("net.pth", "model.py"), (model["serializedFile"], model["modelFile"]))

    def test_torchscript_needs_no_network(self) -> None:
        with zipfile.ZipFile(self.folder / "net.pt", "w") as archive:
            archive.writestr("net/constants.pkl", b"")
        self.write("model.py")
        self.assertNotIn("modelFile", self.model())

    def test_of_several_weights_the_named_ones_are_taken(self) -> None:
        for name, wanted in (("a.pt", "a.pt"), ("b.pt", None), ("words.pt", "words.pt")):
            self.write(name)
            self.assertEqual(wanted, Project.of_folder(self.folder).weights)

    def test_tests_caches_and_hidden_files_are_left_out(self) -> None:
        for name in ("test_handler.py", "conftest.py", ".env"):
            self.write(name)
        (self.folder / "__pycache__").mkdir()
        self.model()
        self.assertEqual({"MAR-INF", "handler.py"}, {path.name for path in self.target.iterdir()})

    def test_linking_again_follows_the_folder(self) -> None:
        self.write("old.txt")
        self.model()
        (self.folder / "old.txt").unlink()
        self.write("new.txt", b"here")
        self.model()
        self.assertFalse((self.target / "old.txt").is_symlink())
        self.assertEqual(b"here", (self.target / "new.txt").read_bytes())
