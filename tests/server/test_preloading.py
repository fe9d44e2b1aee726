"""What a start has put off is loaded in turns."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet.task import Clock

from modelserver.language.attributes import unfinished
from modelserver.server.preloading import AFTER, HOT, PAUSE, PUT_OFF, Preloading
from tests.harness.folder import FolderCase

CLASSES = """
from modelserver.language.attributes import frozen

@frozen
class One:
    size: int

@frozen
class Two:
    size: int
"""


class PreloadingTests(FolderCase):
    """Modules come one a turn, then classes."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        sys.path.insert(0, str(self.folder))
        self.addCleanup(sys.path.remove, str(self.folder))

    def module(self, name: str, source: str = "") -> str:
        """Write a module that is not loaded."""
        Path(self.folder, f"{name}.py").write_text(source)
        self.addCleanup(sys.modules.pop, name, None)
        return name

    def start(self, *modules: str, hot: tuple[str, ...] = ()) -> Preloading:
        """Start to load modules."""
        made = Preloading(self.clock, modules, hot)
        made.startService()
        self.addCleanup(made.stopService)
        return made

    def test_each_turn_loads_one_module(self) -> None:
        names = [self.module("put_off_1"), "os", self.module("put_off_2")]
        self.start(*names)
        self.assertNotIn("put_off_1", sys.modules)
        self.clock.advance(AFTER)
        self.assertEqual((True, False), ("put_off_1" in sys.modules, "put_off_2" in sys.modules))
        self.clock.advance(PAUSE)
        self.assertIn("put_off_2", sys.modules)
        self.clock.advance(PAUSE)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_classes_of_hot_modules_are_finished_one_a_turn(self) -> None:
        hot, cold = self.module("put_off_hot", CLASSES), self.module("put_off_cold", CLASSES)
        self.start(hot, cold, hot=("put_off_hot",))
        self.clock.pump([AFTER, PAUSE])
        left = []
        for _ in range(3):
            self.clock.advance(PAUSE)
            left.append([cls.__name__ for cls in unfinished([sys.modules[hot]])])
        self.assertEqual([["Two"], [], []], left)
        self.assertEqual(2, len(list(unfinished([sys.modules[cold]]))))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_server_that_stops_loads_no_more(self) -> None:
        loading = self.start(self.module("put_off_1"), self.module("put_off_2"))
        self.clock.advance(AFTER)
        loading.stopService()
        self.assertEqual([], self.clock.getDelayedCalls())
        self.assertNotIn("put_off_2", sys.modules)

    def test_what_cannot_be_loaded_is_told(self) -> None:
        self.start("put_off_and_not_there", self.module("put_off_1"))
        self.clock.pump([AFTER, PAUSE])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_what_is_put_off_is_there(self) -> None:
        self.start(*PUT_OFF, hot=HOT)
        self.clock.pump([AFTER, *[PAUSE] * 1000])
        self.assertEqual([], [name for name in PUT_OFF if name not in sys.modules])
        ours = [module for name, module in list(sys.modules.items()) if name.startswith(HOT)]
        self.assertEqual([], list(unfinished(ours)))
