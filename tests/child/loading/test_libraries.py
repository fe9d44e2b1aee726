"""Which libraries a handler's files import, read without running them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.loading.libraries import LibraryReader

MISSING = ("missing", "gone")


class Asked:
    """What a reader has asked for, in order; some libraries are missing."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def load(self, module: str, names: Sequence[str]) -> None:
        """Note an import."""
        if module.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])
        self.order.append(f"{module}:{','.join(names)}" if names else module)

    def set_variable(self, name: str, value: str, wins: bool) -> None:
        """Note a variable."""
        self.order.append(f"{name}{'=' if wins else '?='}{value}")


class LibraryReaderTests(SynchronousTestCase):
    """Each row is an archive, and what is imported for it."""

    def read(self, files: Mapping[str, str], module: str = "handler") -> tuple[bool, list[str]]:
        """
        Read an archive.

        :return: whether the end was reached, and what was asked for.
        """
        folder = Path(self.mktemp()).absolute()
        for name, source in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        asked = Asked()
        reader = LibraryReader([str(folder)], asked.load, asked.set_variable)
        if "." in module:
            return reader.follow(module), asked.order
        return reader.read(module, str(folder / f"{module}.py")), asked.order

    def assert_read(
        self,
        files: str | Mapping[str, str],
        expected: Sequence[str],
        at_end: bool = True,
        module: str = "handler",
    ) -> None:
        """Read an archive of one file, or several, and compare."""
        read = self.read({"handler.py": files} if isinstance(files, str) else files, module)
        self.assertEqual((at_end, list(expected)), read)

    def test_imports_in_order(self) -> None:
        self.assert_read(
            "from __future__ import annotations\nimport os, sys as s\nfrom a.b import c as d, e\nimport f\n",
            ["os", "sys", "a.b:c,e", "f"],
        )

    def test_imports_inside_functions_and_classes_are_the_workers(self) -> None:
        self.assert_read("def handle():\n    import a\nimport b\n", ["b"])
        self.assert_read("class Model:\n    import a\nimport b\n", [], at_end=False)

    def test_modules_of_the_archive_are_followed_where_they_are_imported(self) -> None:
        files = {
            "handler.py": "import a\nfrom model import Net\nimport model, handler\nimport z\n",
            "model.py": "import torch\nfrom parts.layer import Layer\nimport handler\nclass Net: ...\n",
            "parts/__init__.py": "import b\nfrom . import other\nfrom .more import *\n",
            "parts/layer.py": "from ..model import x\n",
            "parts/other.py": "import c\n",
            "parts/more/__init__.py": "from .. import third\nfrom ..other import y\n",
            "parts/third.py": "import d\n",
        }
        self.assert_read(files, ["a", "torch", "b", "c", "d"], at_end=False)
        files["parts/layer.py"] = "from .other import x\nimport e\n"
        self.assert_read(files, ["a", "torch", "b", "c", "d", "e", "z"])

    def test_handler_in_a_package(self) -> None:
        files = {
            "one/__init__.py": "import a\n",
            "one/two.py": "from . import three\n",
            "one/three.py": "import b\n",
        }
        self.assert_read(files, ["a", "b"], module="one.two")
        self.assert_read(files, ["a"], at_end=False, module="one.four")
        self.assert_read(files, [], at_end=False, module="two.one")

    def test_folder_without_init_is_a_module_only_where_no_library_is(self) -> None:
        files = {"handler.py": "import torch\nfrom gone import inside\nimport b\n"}
        files |= {"torch/weights.py": "import x\n", "gone/inside.py": "import a\n"}
        self.assert_read(files, ["torch", "a", "b"])

    def test_archive_module_that_is_not_there_or_no_source_ends_it(self) -> None:
        self.assert_read({"handler.py": "import own.no\nimport b\n", "own/__init__.py": ""}, [], at_end=False)
        self.assert_read({"handler.py": "import own\nimport b\n", "own.abi3.so": ""}, [], at_end=False)
        self.assert_read({"handler.py": "import own\nimport b\n", "own.py": "?"}, [], at_end=False)
        self.assert_read({"handler.py": "import own\nimport b\n", "own.py": "def ("}, [], at_end=False)

    def test_what_may_change_a_later_import_ends_it(self) -> None:
        for statement in ("launch()", "import_hook = launch()", "os.environ['A'] = B", "a.b = 3"):
            self.assert_read(f"import a\n{statement}\nimport b\n", ["a"], at_end=False)
            self.assert_read(
                {"handler.py": "import own\nimport b\n", "own.py": f"import a\n{statement}\n"},
                ["a"],
                at_end=False,
            )

    def test_inert_statements_are_passed(self) -> None:
        self.assert_read(
            "import a\nlog = logging.getLogger(__name__)\nclass A(a.B): ...\nimport b\n", ["a", "b"]
        )

    def test_variables_set_to_constants_hold_for_later_imports(self) -> None:
        self.assert_read(
            'import os\nos.environ["A"] = "1"\nos.environ.setdefault("B", "2")\nimport b\n',
            ["os", "A=1", "B?=2", "b"],
        )
        for odd in (
            'environ["A"] = "1"',
            'os.environ["A"] = 1',
            'os.environ.setdefault("A")',
            'os.environ["A"] += "1"',
        ):
            self.assert_read(f"{odd}\nimport b\n", [], at_end=False)

    def test_missing_library(self) -> None:
        self.assert_read("import missing\nimport b\n", [], at_end=False)
        self.assert_read(
            "try:\n    import missing\nexcept ImportError:\n    import a\nimport b\n", ["a", "b"]
        )
        self.assert_read("try:\n    import missing\n    import x\nexcept Exception: pass\nimport b\n", ["b"])
        self.assert_read("try:\n    import missing\nexcept: missing = None\nimport b\n", ["b"])
        self.assert_read(
            "try:\n    import missing\nexcept (OSError, ModuleNotFoundError): pass\nelse:\n    import x\n"
            "finally:\n    import c\nimport b\n",
            ["c", "b"],
        )
        self.assert_read("try:\n    import missing\nexcept OSError: pass\nimport b\n", [], at_end=False)
        self.assert_read(
            "try:\n    import a\nexcept ImportError:\n    import x\nelse:\n    import c\n", ["a", "c"]
        )

    def test_what_never_runs_is_passed(self) -> None:
        for condition in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "__name__ == '__main__'"):
            self.assert_read(
                f"if {condition}:\n    import x\n    launch()\nelse:\n    import a\nimport b\n", ["a", "b"]
            )
        for condition in ("__name__ != '__main__'", "__name__ == 'handler'", "sys.platform"):
            self.assert_read(f"if {condition}:\n    import x\nimport b\n", [], at_end=False)

    def test_relative_import_out_of_the_archive_ends_it(self) -> None:
        self.assert_read("from . import a\nimport b\n", [], at_end=False)
