"""``modelserver.archive.manifest``: what an archive says of its model."""

from __future__ import annotations

import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.documents import DEEPEST, LARGEST
from modelserver.archive.manifest import (
    MMS_RULES,
    TORCHSERVE_RULES,
    Manifest,
    ManifestRules,
    complete,
    model_config,
    read_manifest,
)
from modelserver.archive.manifest_documents import LARGEST as LARGEST_MANIFEST
from modelserver.archive.yaml_documents import TooMany, read_yaml
from modelserver.errors import ArchiveInvalid, BadRequest
from tests.harness.folder import FolderCase

FULL = {
    "createdOn": "22/11/2026 03:18:50",
    "runtime": "python",
    "model": {
        "modelName": "resnet",
        "serializedFile": "w.pt",
        "handler": "h.py:handle",
        "modelFile": "m.py",
        "modelVersion": "2.0",
        "requirementsFile": "req.txt",
        "configFile": "conf.yaml",
        "envelope": "json",
    },
    "archiverVersion": "0.12.0",
    "unknown": {"kept": True},
}

LEGACY = {
    "Engine": {"MXNet": 0.12},
    "Model-Archive-Description": "old",
    "Model-Server": "0.4",
    "Model": {
        "Service": "service.py",
        "Model-Name": "squeezenet",
        "Symbol": "s.json",
        "Parameters": "p.params",
    },
}

UNREADABLE = "Failed to parse signature.json."


def model(**fields: object) -> str:
    """A manifest with only a model."""
    return json.dumps({"model": fields})


# id, the manifest's text, how the refusal starts
REFUSED = [
    ("empty-file", "", UNREADABLE),
    ("not-json", "{bad", UNREADABLE),
    ("list", "[]", UNREADABLE),
    ("null", "null", UNREADABLE),
    ("nan", '{"a": NaN}', UNREADABLE),
    ("endless-number", '{"a": ' + "9" * 5000 + "}", UNREADABLE),
    (
        "just-too-deep",
        '{"a": ' + "[" * DEEPEST + "]" * DEEPEST + "}",
        UNREADABLE + " it is nested too deeply.",
    ),
    ("very-deep", "[" * 100_000, UNREADABLE + " it is nested too deeply."),
    ("too-large", '"' + "x" * LARGEST_MANIFEST + '"', UNREADABLE),
    ("model-null", '{"model": null}', "Missing Model entry in manifest file."),
    ("model-text", '{"model": "x"}', UNREADABLE + " model must be an object."),
    ("name-list", model(modelName=["x"]), UNREADABLE + " modelName must be a string."),
    ("name-boolean", model(modelName=True), UNREADABLE + " modelName must be a string."),
    ("name-control", model(modelName="a\r\nb"), UNREADABLE + " modelName holds"),
    ("name-surrogate", '{"model": {"modelName": "\\ud800"}}', UNREADABLE + " modelName holds"),
    ("engine-text", '{"engine": "MXNet"}', UNREADABLE + " engine must be an object."),
    ("runtime-null", '{"runtime": null}', "Runtime is not defined or invalid."),
    ("runtime-empty", '{"runtime": ""}', "Runtime is not defined or invalid."),
    ("runtime-unknown", '{"runtime": "ruby"}', "Runtime is not defined or invalid."),
    ("runtime-list", '{"runtime": ["python"]}', UNREADABLE + " runtime must be a string."),
    ("runtime-python2", '{"runtime": "python2"}', "Runtime python2 is not supported"),
    ("runtime-lsp", '{"runtime": "LSP"}', "Runtime LSP is not supported"),
    ("handler-absolute", model(handler="/etc/h.py"), "The handler must be a file inside the archive."),
    ("handler-parent", model(handler="../h.py:f"), "The handler must be a file inside the archive."),
    ("handler-backslash", model(handler="..\\h.py"), "The handler must be a file inside the archive."),
    ("weights-parent", model(serializedFile="a/../../w.pt"), "serializedFile must be a file inside"),
    ("model-file-drive", model(modelFile="C:m.py"), "modelFile must be a file inside"),
    ("requirements-absolute", model(requirementsFile="/r.txt"), "requirementsFile must be a file inside"),
    ("config-absolute", model(configFile="/etc/passwd"), "configFile must be a file inside"),
]


class ModelFolderCase(FolderCase):
    """A folder in which files of a model are written."""

    def write(self, path: str, text: str | bytes) -> None:
        """Put a file into the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))

    def manifest(self, text: str | bytes, rules: ManifestRules = TORCHSERVE_RULES) -> Manifest:
        """What is read from a manifest of this text."""
        self.write("MAR-INF/MANIFEST.json", text)
        return read_manifest(self.folder, rules)


class ReadManifestTests(ModelFolderCase):
    """A manifest becomes one frozen value, or is refused with the peers' text."""

    def test_every_field(self) -> None:
        manifest = self.manifest(json.dumps(FULL))
        self.assertEqual(
            manifest,
            Manifest(
                model_name="resnet",
                model_version="2.0",
                handler="h.py:handle",
                runtime="python",
                serialized_file="w.pt",
                model_file="m.py",
                requirements_file="req.txt",
                config_file="conf.yaml",
                envelope="json",
                raw=FULL,
            ),
        )

    def test_archive_without_manifest(self) -> None:
        self.assertEqual(read_manifest(self.folder), Manifest())

    def test_empty_document_says_nothing(self) -> None:
        self.assertEqual(self.manifest("{}"), Manifest())

    def test_empty_texts_count_as_absent(self) -> None:
        manifest = self.manifest(model(modelName="", handler="", modelVersion=""))
        self.assertEqual((manifest.model_name, manifest.handler, manifest.model_version), (None, None, "1.0"))

    def test_number_as_version_keeps_its_digits(self) -> None:
        manifest = self.manifest('{"model": {"modelVersion": 1.10}}')
        self.assertEqual(manifest.model_version, "1.10")
        self.assertEqual(manifest.raw, {"model": {"modelVersion": 1.1}})

    def test_byte_order_mark(self) -> None:
        self.assertEqual(self.manifest("\ufeff" + model(modelName="x")).model_name, "x")

    def test_deepest_allowed(self) -> None:
        lists = DEEPEST - 1
        self.assertIn("a", self.manifest('{"a": ' + "[" * lists + "]" * lists + "}").raw)

    def test_refused(self) -> None:
        for name, text, expected in REFUSED:
            with self.subTest(name):
                refusal = self.assertRaises(ArchiveInvalid, self.manifest, text)
                self.assertEqual(str(refusal)[: len(expected)], expected)
                self.assertNotIn(str(self.folder), str(refusal))

    def test_not_utf8(self) -> None:
        refusal = self.assertRaises(ArchiveInvalid, self.manifest, b'{"a": "\xff"}')
        self.assertIn("UTF-8", str(refusal))

    def test_folder_in_the_place_of_the_manifest(self) -> None:
        (self.folder / "MAR-INF" / "MANIFEST.json").mkdir(parents=True)
        self.assertRaises(ArchiveInvalid, read_manifest, self.folder)

    def test_fifo_in_the_place_of_the_manifest_does_not_block(self) -> None:
        (self.folder / "MAR-INF").mkdir()
        os.mkfifo(self.folder / "MAR-INF" / "MANIFEST.json")
        refusal = self.assertRaises(ArchiveInvalid, read_manifest, self.folder)
        self.assertIn("not a plain file", str(refusal))

    def test_runtime_in_any_case(self) -> None:
        for written, expected in (("PYTHON", "python"), ("Python3", "python3")):
            with self.subTest(written):
                self.assertEqual(self.manifest(json.dumps({"runtime": written})).runtime, expected)

    def test_registration_names_another_runtime(self) -> None:
        self.write("MAR-INF/MANIFEST.json", '{"runtime": "python2"}')
        self.assertEqual(read_manifest(self.folder, runtime="PYTHON").runtime, "python")

    def test_registration_names_no_runtime_at_all(self) -> None:
        refusal = self.assertRaises(BadRequest, read_manifest, self.folder, runtime="cobol")
        self.assertEqual(str(refusal), "Invalid RuntimeType value: cobol")

    def test_registration_names_a_runtime_that_is_not_here(self) -> None:
        self.assertRaises(ArchiveInvalid, read_manifest, self.folder, runtime="lsp")

    def test_operator_allows_a_handler_outside(self) -> None:
        rules = ManifestRules(allow_outside_handler=True)
        self.assertEqual(self.manifest(model(handler="/srv/h.py:f"), rules).handler, "/srv/h.py:f")

    def test_engine_without_name(self) -> None:
        self.assertIsNone(self.manifest('{"engine": {}}').engine)
        refusal = self.assertRaises(ArchiveInvalid, self.manifest, '{"engine": {}}', MMS_RULES)
        self.assertEqual(str(refusal), "engineName is required in <engine>.")

    def test_engine(self) -> None:
        self.assertEqual(self.manifest('{"engine": {"engineName": "MXNet"}}', MMS_RULES).engine, "MXNet")


class LegacyManifestTests(ModelFolderCase):
    """An MMS 0.x manifest at the top is converted."""

    def test_converted(self) -> None:
        self.write("MANIFEST.json", json.dumps(LEGACY))
        self.assertEqual(
            read_manifest(self.folder),
            Manifest(
                model_name="squeezenet",
                model_version="snapshot",
                handler="service.py",
                engine="MXNet",
                legacy=True,
                raw=LEGACY,
            ),
        )

    def test_no_service(self) -> None:
        self.write("MANIFEST.json", '{"Model": {}}')
        refusal = self.assertRaises(ArchiveInvalid, read_manifest, self.folder)
        self.assertEqual(str(refusal), "Missing Service entry in MANIFEST.json")

    def test_new_manifest_goes_first(self) -> None:
        self.write("MANIFEST.json", "{}")
        self.assertFalse(self.manifest(model(modelName="new")).legacy)


class CompleteTests(SynchronousTestCase):
    """What the registration says goes before what the manifest says."""

    def test_registration_goes_first(self) -> None:
        manifest = complete(Manifest("a", handler="a.py"), model_name="b", handler="b.py")
        self.assertEqual((manifest.model_name, manifest.handler), ("b", "b.py"))

    def test_manifest_fills_what_is_left_open(self) -> None:
        manifest = complete(Manifest("a", handler="a.py"))
        self.assertEqual((manifest.model_name, manifest.handler), ("a", "a.py"))

    def test_nobody_names_the_model(self) -> None:
        refusal = self.assertRaises(ArchiveInvalid, complete, Manifest(), model_name="")
        self.assertEqual(str(refusal), "Model name is not defined.")

    def test_the_handler_may_be_left_to_the_server(self) -> None:
        for rules in (TORCHSERVE_RULES, MMS_RULES):
            self.assertIsNone(complete(Manifest("a"), rules).handler)

    def test_registration_names_a_handler_outside(self) -> None:
        self.assertRaises(ArchiveInvalid, complete, Manifest("a"), handler="/tmp/evil.py:f")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 10)}]\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{','.join(['*' + before] * 10)}]}}\n"
    for before, name in zip("abcdef", "bcdefg", strict=True)
)

# id, the file's text, a word of the problem
BAD_YAML = [
    ("object", 'a: !!python/object/apply:os.system ["touch pwned"]', "constructor"),
    ("tuple", "a: !!python/tuple [1]", "constructor"),
    ("alias-bomb", BOMB, "aliases"),
    ("merge-bomb", MERGES, "aliases"),
    ("contains-itself", "a: &a [*a]", "itself"),
    ("deep-lists", "[" * 5000, "deep"),
    ("deep-mappings", "? " * 5000, "deep"),
    ("long-sexagesimal", "a: 1" + ":1" * 1000, "number"),
    ("long-integer", "a: " + "1" * 1000, "number"),
    ("two-documents", "a: 1\n---\nb: 1", "document"),
    ("scalar", "hello", "not a mapping"),
    ("list", "[1, 2]", "not a mapping"),
    ("bad-boolean", "a: !!bool maybe", "tag"),
    ("bad-integer", 'a: !!int ""', "tag"),
    ("bad-date", "a: 2001-99-99", "month"),
    ("unhashable-key", "? [a]\n: 1", "key"),
    ("nul", "a: \x00", "cannot be read"),
    ("too-large", "#" * (LARGEST + 1), "larger"),
]


class ModelConfigTests(ModelFolderCase):
    """``model-config.yaml`` is read, or refused with the reason and the line."""

    def config(self, text: str) -> object:
        """What is read from a file of this text."""
        self.write("conf.yaml", text)
        return model_config(self.folder, Manifest(config_file="conf.yaml"))

    def test_values(self) -> None:
        text = "minWorkers: 1\nhandler: {profile: true}\nbase: &b {x: 1}\nother: {<<: *b, y: 2}\n"
        expected = {
            "minWorkers": 1,
            "handler": {"profile": True},
            "base": {"x": 1},
            "other": {"x": 1, "y": 2},
        }
        self.assertEqual(self.config(text), expected)

    def test_no_config_file(self) -> None:
        self.assertEqual(model_config(self.folder, Manifest()), {})

    def test_empty_file(self) -> None:
        self.assertEqual(self.config("# nothing\n"), {})

    def test_missing_file(self) -> None:
        with self.assertRaises(ArchiveInvalid) as raised:
            model_config(self.folder, Manifest(config_file="conf.yaml"))
        self.assertEqual(str(raised.exception), "conf.yaml cannot be read: No such file or directory.")

    def test_the_line_is_told(self) -> None:
        with self.assertRaises(ArchiveInvalid) as raised:
            self.config("minWorkers: 1\nmaxWorkers: [1\nbatchSize: 2\n")
        self.assertIn(" in line 3", str(raised.exception))

    def test_many_values(self) -> None:
        self.assertEqual(read_yaml("- x\n" * 9, most_nodes=10), ["x"] * 9)
        self.assertRaises(TooMany, read_yaml, "- x\n" * 10, most_nodes=10)

    def test_bad_files_are_refused(self) -> None:
        for name, text, word in BAD_YAML:
            with self.subTest(name):
                with self.assertRaises(ArchiveInvalid) as raised:
                    self.config(text)
                self.assertIn(word, str(raised.exception))
                self.assertNotIn("\n", str(raised.exception))
        self.assertFalse(Path("pwned").exists())
