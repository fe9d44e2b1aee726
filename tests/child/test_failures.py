"""What the server is told about a load that failed."""

from __future__ import annotations

import os
import pickle
from contextlib import redirect_stderr
from io import BytesIO, StringIO
from unittest import TestCase
from zipfile import BadZipFile, ZipFile

from modelserver.child.failures import LoadFailed, print_traceback
from modelserver.protocol.worker_variables import LOCALS


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


class TracebackTests(TestCase):
    """What the log gets of an exception."""

    def setUp(self) -> None:
        self.addCleanup(os.environ.pop, LOCALS, None)

    def printed(self) -> str:
        """What is printed of a division by zero."""

        def divide(number: int) -> float:
            secret = number * 0
            return number / secret

        with redirect_stderr(StringIO()) as output:
            try:
                divide(7)
            except ZeroDivisionError as error:
                print_traceback(error)
        return output.getvalue()

    def test_is_pythons_own(self) -> None:
        text = self.printed()
        self.assertIn("ZeroDivisionError: division by zero", text)
        self.assertNotIn("locals", text)

    def test_tells_what_variables_hold_where_that_is_asked_for(self) -> None:
        os.environ[LOCALS] = "1"
        text = self.printed()
        self.assertIn("return number / secret", text)
        self.assertIn("number = 7", text)
        self.assertNotIn("\x1b", text)
