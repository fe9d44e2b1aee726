"""Registering and unregistering again and again costs no memory that stays."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from tests.harness.management_case import ManagementCase

ROUNDS = 5


class NothingStaysTests(ManagementCase):
    """What was made for a version goes with it."""

    def test_versions_that_are_gone_are_gone(self) -> None:
        gone: list[weakref.ref[Any]] = []
        for _ in range(ROUNDS):
            self.register()
            version = self.on.registry.get("noop")
            gone += [weakref.ref(version), weakref.ref(version.pool)]
            del version
            self.successResultOf(self.unregister())
        gc.collect()
        self.assertEqual([each() for each in gone if each() is not None], [])
        self.assertEqual(self.on.left_on_disk(), [])
        self.assertEqual(len(self.on.management.files), 0)
        self.assertEqual(len(self.on.management._leaving), 0)
