"""Which engine is chosen."""

from __future__ import annotations

import sys
from unittest import TestCase

from modelserver.rpc.engines.choice import EngineMissing, load_engine
from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine


class ChoiceTests(TestCase):
    """With modules of the engines taken away."""

    def hide(self, *names: str) -> None:
        """Have imports of packages fail, and of what imports them."""
        for name in names:
            for module in (name, f"modelserver.rpc.engines.{name}"):
                kept = sys.modules.get(module)
                sys.modules[module] = None  # type: ignore[assignment]  # so an import of it fails
                if kept is not None:
                    self.addCleanup(sys.modules.__setitem__, module, kept)

    def test_the_faster_first(self) -> None:
        self.assertIs(Ngh2Engine, load_engine())

    def test_the_other_where_it_is_missing(self) -> None:
        self.hide("ngh2")
        self.assertIs(H2Engine, load_engine())

    def test_a_line_that_says_what_to_do_where_both_are(self) -> None:
        self.hide("ngh2", "h2")
        with self.assertRaises(EngineMissing) as caught:
            load_engine()
        self.assertIn("pip install 'modelserver[grpc]'", str(caught.exception))
