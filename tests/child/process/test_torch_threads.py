"""Torch is held to one thread, whenever it is imported, and gets its own number back."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.process.torch_threads import TorchThreads

TORCH = """
actual = 4

def get_num_threads():
    return actual

def set_num_threads(count):
    global actual
    if not count > 0:
        raise RuntimeError("expected a positive number")
    actual = count
"""


class TorchThreadsTests(SynchronousTestCase):
    """A module named torch stands in for torch; ``actual`` is the number that it has."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "torch.py").write_text(TORCH)
        path, imported, finders = list(sys.path), sys.modules.pop("torch", None), list(sys.meta_path)
        sys.path.insert(0, str(folder.absolute()))
        importlib.invalidate_caches()
        self.threads = TorchThreads()

        def restore() -> None:
            sys.path[:], sys.meta_path[:] = path, finders
            sys.modules.pop("torch", None)
            if imported is not None:
                sys.modules["torch"] = imported

        self.addCleanup(restore)

    def torch(self) -> Any:
        """The module, imported now if it is not yet."""
        return importlib.import_module("torch")

    def test_one_thread_from_the_import_until_the_release(self) -> None:
        self.threads.hold()
        torch = self.torch()
        self.assertEqual((1, 4), (torch.actual, torch.get_num_threads()))
        self.threads.release()
        self.assertEqual((4, 4), (torch.actual, torch.get_num_threads()))

    def test_torch_that_is_there_already(self) -> None:
        torch = self.torch()
        self.threads.hold()
        self.assertEqual(1, torch.actual)
        self.threads.release()
        self.assertEqual(4, torch.actual)

    def test_number_that_is_set_meanwhile_counts_after_the_release(self) -> None:
        self.threads.hold()
        torch = self.torch()
        torch.set_num_threads(3)
        self.assertEqual((1, 3), (torch.actual, torch.get_num_threads()))
        self.threads.release()
        self.assertEqual(3, torch.actual)

    def test_worker_with_a_share_of_its_own(self) -> None:
        for chosen, actual in ((None, 2), (3, 3)):
            threads = TorchThreads()
            torch = self.torch()
            threads.hold()
            if chosen is not None:
                torch.set_num_threads(chosen)
            threads.release(2)
            self.assertEqual(actual, torch.actual)

    def test_functions_that_a_handler_kept_work_after_the_release(self) -> None:
        self.threads.hold()
        kept, asked = self.torch().set_num_threads, self.torch().get_num_threads
        self.threads.release()
        kept(2)
        self.assertEqual((2, 2), (self.torch().actual, asked()))

    def test_wrong_number_is_refused_as_torch_refuses_it(self) -> None:
        self.threads.hold()
        torch = self.torch()
        self.assertRaises(RuntimeError, torch.set_num_threads, 0)
        self.assertRaises(TypeError, torch.set_num_threads, "2")
        self.assertEqual(4, torch.get_num_threads())

    def test_module_looks_as_if_nobody_had_waited_for_it(self) -> None:
        self.threads.hold()
        for _ in range(2):
            self.assertIsNotNone(importlib.util.find_spec("torch"))
        torch = self.torch()
        self.assertEqual(1, torch.actual)
        self.assertNotIn("exec_module", vars(torch.__loader__))
        self.assertNotIn(self.threads, sys.meta_path)

    def test_torch_imported_after_the_release_is_left_alone(self) -> None:
        self.threads.hold()
        self.threads.release()
        torch = self.torch()
        self.assertEqual(4, torch.actual)
        torch.set_num_threads(2)
        self.assertEqual(2, torch.actual)

    def test_torch_that_cannot_be_imported_fails_as_ever(self) -> None:
        Path(sys.path[0], "torch.py").write_text("raise OSError('no such library')")
        self.threads.hold()
        self.assertRaises(OSError, self.torch)
        self.threads.release()
