"""Imports without a library."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.left_out import without


class WithoutTests(SynchronousTestCase):
    """A library cannot be imported meanwhile, unless it is there already."""

    def test_it_cannot_be_imported_meanwhile(self) -> None:
        kept = sys.modules.pop("colorsys", None)
        self.addCleanup(sys.modules.pop, "colorsys", None)
        if kept is not None:
            self.addCleanup(sys.modules.__setitem__, "colorsys", kept)
        with without("colorsys"):
            self.assertRaises(ImportError, __import__, "colorsys")
        self.assertEqual("colorsys", __import__("colorsys").__name__)

    def test_it_can_be_imported_after_an_error(self) -> None:
        def fail() -> None:
            with without("no_such_library"):
                raise KeyError

        self.assertRaises(KeyError, fail)
        self.assertNotIn("no_such_library", sys.modules)

    def test_what_is_loaded_stays(self) -> None:
        with without("sys"):
            self.assertIs(sys, __import__("sys"))
