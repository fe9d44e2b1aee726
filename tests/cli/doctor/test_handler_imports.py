"""Which imports of a handler would fail, told without running it."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.cli.doctor.handler_imports import Missing, is_importable, missing_imports
from modelserver.system.installation import COMPAT
from tests.harness.packages import needs_torch

NOTHING = frozenset[str]()


class MissingImportsTests(TestCase):
    """Imports are followed into the archive's own modules."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def missing(self, source: str, importable: frozenset[str] = NOTHING, **others: str) -> list[str]:
        """The modules that are missing for a handler, with other files beside it."""
        handler = self.write("handler", source)
        for name, text in others.items():
            self.write(name, text)
        found = missing_imports(handler, self.folder, importable.__contains__)
        return [absent.module for absent in found]

    def write(self, name: str, source: str) -> Path:
        """Write a module into the archive's folder."""
        path = self.folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path

    def test_place_of_a_missing_module(self) -> None:
        handler = self.write("handler", "import os\n\nimport mxnet.gluon\n")
        self.assertEqual(
            missing_imports(handler, self.folder, {"os"}.__contains__),
            (Missing("mxnet.gluon", "handler.py", 3),),
        )

    def test_kinds_of_imports(self) -> None:
        for source, expected in (
            ("import a, b.c as d", ["a", "b.c"]),
            ("from a.b import c", ["a.b"]),
            ("from . import c", []),
            ("def f():\n    import a", ["a"]),
            ("class A:\n    import a", ["a"]),
            ("if True:\n    import a", ["a"]),
            ("x = 'import a'", []),
        ):
            self.assertEqual(self.missing(source), expected, source)

    def test_imports_that_the_handler_can_do_without(self) -> None:
        for source, expected in (
            ("try:\n    import a\nexcept ImportError:\n    import b", []),
            ("try:\n    import a\nexcept (ValueError, ModuleNotFoundError):\n    pass", []),
            ("try:\n    import a\nexcept Exception:\n    pass\nelse:\n    import b", ["b"]),
            ("try:\n    import a\nexcept:\n    pass", []),
            ("try:\n    import a\nexcept KeyError:\n    pass", ["a"]),
            ("try:\n    import a\nfinally:\n    pass", ["a"]),
            ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", ["b"]),
            ("if typing.TYPE_CHECKING:\n    import a", []),
        ):
            self.assertEqual(self.missing(source), expected, source)

    def test_modules_of_the_archive_are_followed(self) -> None:
        found = self.missing(
            "import one\nfrom package.part import x",
            one="import handler\nimport absent_one",
            package____init__="import absent_two",
            package__part="import absent_three",
        )
        self.assertEqual(found, ["absent_one", "absent_three"])

    def test_not_python_3(self) -> None:
        handler = self.write("handler", "import os\nprint 'x'\n")
        with self.assertRaises(SyntaxError) as caught:
            missing_imports(handler, self.folder, NOTHING.__contains__)
        self.assertEqual((caught.exception.filename, caught.exception.lineno), ("handler.py", 2))

    def test_not_text(self) -> None:
        (self.folder / "handler.py").write_bytes(b"\xff\xfe")
        with self.assertRaises(ValueError):
            missing_imports(self.folder / "handler.py", self.folder, NOTHING.__contains__)


class IsImportableTests(TestCase):
    """What is installed, and what the compatibility packages have."""

    def test_rows(self) -> None:
        for name, expected in (
            ("json", True),
            ("json.decoder", True),
            ("no_such_module_anywhere", False),
            ("no_such_module_anywhere.part", False),
            ("", False),
        ):
            self.assertEqual(is_importable(name), expected, name)

    @needs_torch
    def test_compatibility_packages(self) -> None:
        for package in (path for path in COMPAT.glob("*") if (path / "__init__.py").is_file()):
            self.assertTrue(is_importable(package.name), package)
            self.assertFalse(is_importable(f"{package.name}.no_such_part"), package)

    @needs_torch
    def test_names_of_the_peers_where_they_are_on_the_path(self) -> None:
        """As they are in an installation, but for an editable one."""
        sys.path.append(str(COMPAT))
        self.addCleanup(sys.path.remove, str(COMPAT))
        self.assertTrue(is_importable("ts.context"))
        self.assertFalse(is_importable("ts.no_such_part"))
