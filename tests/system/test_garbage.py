"""How often Python looks for garbage, from a start on."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from modelserver.system.garbage import CollectingHabits, collect_nothing, collect_rarely, keep_for_ever


class GarbageTests(SynchronousTestCase):
    """Nothing is looked for during a start, and what is there then is never looked at."""

    def setUp(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.enable)
        self.addCleanup(gc.unfreeze)

    def test_a_start(self) -> None:
        collect_nothing()
        collect_rarely()
        self.assertFalse(gc.isenabled())
        before = gc.get_freeze_count()
        keep_for_ever()
        self.assertTrue(gc.isenabled())
        self.assertGreater(gc.get_freeze_count(), before)
        self.assertGreaterEqual(gc.get_threshold()[0], 10_000)

    def test_a_start_that_fails(self) -> None:
        for is_enabled in (True, False):
            (gc.enable if is_enabled else gc.disable)()
            gc.set_threshold(701, 9, 8)
            habits = CollectingHabits.now()
            collect_nothing()
            collect_rarely()
            habits.restore()
            self.assertEqual((is_enabled, (701, 9, 8)), (gc.isenabled(), gc.get_threshold()))
