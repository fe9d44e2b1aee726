"""What the server is told about a load that failed."""

from __future__ import annotations

import pickle
from io import BytesIO
from unittest import TestCase
from zipfile import BadZipFile, ZipFile

from modelserver.child.failures import LoadFailed


def raised(source: str) -> Exception:
    """What code raises."""
    try:
        exec(source, {"pickle": pickle, "ZipFile": ZipFile, "BytesIO": BytesIO})
    except Exception as error:
        return error
    raise AssertionError(source)


PERMANENT = {
    "a module that is not there": "import no_such_module",
    "a name that is not there": "no_such_name",
    "no Python": "def",
    "a file that is not there": "open('/no/such/file')",
    "a folder instead of a file": "open('/')",
    "a file instead of a folder": "open('/dev/null/x')",
    "no pickle": "pickle.loads(b'x')",
    "no zip": "ZipFile(BytesIO(b'x'))",
    "a method without a body": "raise NotImplementedError",
}
MAY_PASS = {
    "no connection": "raise ConnectionRefusedError('no')",
    "no memory": "raise MemoryError",
    "no lock": "raise TimeoutError",
    "a value of somebody else": "int('x')",
    "no right": "raise PermissionError('busy')",
    "torch's word for everything": "raise RuntimeError('CUDA error')",
}


class LoadFailedTests(TestCase):
    """``LoadFailed.because``."""

    def test_what_cannot_change_is_permanent(self) -> None:
        for name, source in PERMANENT.items():
            with self.subTest(name):
                self.assertIs(LoadFailed.because(raised(source)).report["permanent"], True)

    def test_what_may_pass_is_not(self) -> None:
        for name, source in MAY_PASS.items():
            with self.subTest(name):
                self.assertIs(LoadFailed.because(raised(source)).report["permanent"], False)

    def test_subclasses_are_as_their_bases(self) -> None:
        class Mine(BadZipFile):
            """A library's own."""

        self.assertIs(LoadFailed.because(Mine()).report["permanent"], True)

    def test_texts_hold_no_escapes(self) -> None:
        report = LoadFailed.because(raised("raise ValueError('\\x1b[31mred\\x1b[0m')")).report
        self.assertEqual(report["text"], "red")
        traceback = report["traceback"]
        assert isinstance(traceback, list)
        self.assertEqual(traceback[-1], "ValueError: red")
