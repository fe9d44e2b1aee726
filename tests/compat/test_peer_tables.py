"""No public name of the peers' modules is missing here: ``modelserver/compat/names.json`` has them all."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelserver.system.installation import COMPAT
from tests.compat.test_peer_names import NamesTestCase, found
from tests.harness.packages import needs_torch
from tests.harness.peer_names import TABLE, table

NAMES: dict[str, dict[str, str]] = json.loads(TABLE.read_text())
OURS = ("ts", "mms")
PEERS = {name: os.environ.get(f"MODELSERVER_PEER_{name.upper()}", "") for name in OURS}


def is_absent(origin: str) -> bool:
    """Whether a name comes from a package that is not installed here."""
    module = origin.partition(":")[0]
    if not module or module.partition(".")[0] in OURS:
        return False
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:  # nor is what holds it, or it is a namespace as nvidia
        return True


class PeerTablesTests(NamesTestCase):
    """Each name of the table."""

    @needs_torch
    def test_no_name_is_missing(self) -> None:
        self.assertGreater(sum(map(len, NAMES.values())), 600)
        for module, names in NAMES.items():
            there = importlib.import_module(module)
            self.assertTrue(str(there.__file__).startswith(str(COMPAT)), module)
            for name, origin in names.items():
                if is_absent(origin):
                    self.assertRaises(ImportError, getattr, there, name)
                else:
                    self.assertTrue(hasattr(there, name), f"{module}.{name}")

    def test_names_that_are_not_in_the_table(self) -> None:
        handlers = importlib.import_module("ts.torch_handler.text_handler")
        for name in ("nothing_of_the_kind", "_private", "__path__"):
            self.assertRaises(AttributeError, getattr, handlers, name)

    def test_borrowed_names_are_the_very_things(self) -> None:
        text = importlib.import_module("ts.torch_handler.text_handler")
        self.assertIs(text.BaseHandler, found("ts.torch_handler.base_handler.BaseHandler"))
        self.assertIs(found("ts.metrics").dimension, importlib.import_module("ts.metrics.dimension"))
        self.assertIs(found("ts.handler_utils.utils").os, os)
        logger = importlib.import_module("ts.torch_handler.base_handler").logger
        self.assertIs(logger, logging.getLogger("ts.torch_handler.base_handler"))

    def test_modules_are_imported_without_what_they_lend(self) -> None:
        light = [name for name in NAMES if not name.endswith(("base_model", "mock_context"))]
        script = (
            f"import sys; sys.path.append({str(COMPAT)!r})\n"
            f"for name in {light!r}: __import__(name)\n"
            "heavy = {'torch', 'numpy', 'yaml', 'PIL', 'twisted', 'captum', 'asyncio'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


class GeneratorTests(NamesTestCase):
    """How the table is made."""

    def test_names_of_a_package(self) -> None:
        folder = Path(self.mktemp())
        for path, text in {
            "ts/__init__.py": "from . import part\n",
            "ts/part.py": (
                "import os.path\nimport numpy as np\nfrom .other import Thing as T\n"
                "logger = logging.getLogger(__name__)\n_hidden = 1\nA = B = 2\nC: int = 3\n"
                "try:\n    from x import y\nexcept ImportError:\n    y = None\n"
                "def f():\n    inner = 1\nclass G:\n    x = 1\n"
                "if __name__ == '__main__':\n    parser = 1\n"
            ),
            "ts/torch_handler/unit_tests/test_x.py": "a = 1\n",
            "ts/built-in/x.py": "a = 1\n",
        }.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.assertEqual(
            table(folder),
            {
                "ts": {"part": "ts:part"},
                "ts.part": {
                    "A": "",
                    "B": "",
                    "C": "",
                    "G": "",
                    "T": "ts.other:Thing",
                    "f": "",
                    "logger": "logging:getLogger",
                    "np": "numpy",
                    "os": "os",
                    "y": "",
                },
            },
        )


@pytest.mark.skipif(not all(PEERS.values()), reason="MODELSERVER_PEER_TS and _MMS name no installations")
def test_the_table_is_that_of_the_installed_peers() -> None:
    """As ``python -m tests.harness.peer_names`` would write it."""
    packages = [next(Path(PEERS[name]).parent.glob("lib/python3*/site-packages")) for name in OURS]
    assert table(*packages) == NAMES
