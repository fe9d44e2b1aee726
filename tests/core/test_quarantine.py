"""When a GPU is set aside, and until when."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.gpus import Devices
from modelserver.core.quarantine import ASIDE, WINDOW, Quarantine

ECC, ASSERT = 214, 710


class QuarantineTests(SynchronousTestCase):
    """Faults, and what the driver says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[tuple[int, str]] = []
        self.quarantine = Quarantine(self.clock.seconds, lambda gpu, reason: self.told.append((gpu, reason)))

    def test_three_faults_within_a_minute(self) -> None:
        for _ in range(3):
            self.assertIsNone(self.quarantine.reason(1))
            self.quarantine.fault(1, "a 1.0", ECC)
        reason = "3 device faults within 60 s, the last of a 1.0"
        self.assertEqual((self.quarantine.reason(1), self.told), (reason, [(1, reason)]))
        self.assertIsNone(self.quarantine.reason(0))
        self.clock.advance(ASIDE)
        self.assertIsNone(self.quarantine.reason(1))

    def test_faults_that_are_further_apart_are_forgotten(self) -> None:
        for _ in range(6):
            self.quarantine.fault(0, "a 1.0", ECC)
            self.clock.advance(WINDOW / 2)
        self.assertEqual(self.told, [])

    def test_what_one_model_can_do_to_a_sound_device_needs_a_second_one(self) -> None:
        for _ in range(10):
            self.quarantine.fault(0, "a 1.0", ASSERT)
        self.assertIsNone(self.quarantine.reason(0))
        self.quarantine.fault(0, "b 1.0", ASSERT)
        self.assertIn("the last of b 1.0", str(self.quarantine.reason(0)))

    def test_an_unknown_error_counts(self) -> None:
        for code in (ASSERT, None, ASSERT):
            self.quarantine.fault(0, "a 1.0", code)
        self.assertIsNotNone(self.quarantine.reason(0))

    def test_the_driver_sets_it_aside_until_it_says_otherwise(self) -> None:
        for _ in range(2):
            self.quarantine.examined(0, "XID 79")
            self.clock.advance(ASIDE)
        self.assertEqual((self.quarantine.reason(0), self.told), ("XID 79", [(0, "XID 79")]))
        self.quarantine.examined(0, None)
        self.assertIsNone(self.quarantine.reason(0))


class DevicesTests(SynchronousTestCase):
    """Workers are not placed on what is set aside."""

    def setUp(self) -> None:
        self.quarantine = Quarantine(Clock().seconds)
        self.devices = Devices(3, self.quarantine)

    def test_take(self) -> None:
        self.quarantine.examined(0, "too hot")
        self.assertEqual([self.devices.take() for _ in range(3)], [1, 2, 1])
        self.assertIsNone(self.devices.take((0,)))
        self.assertEqual(self.devices.obstacle((0,)), "GPU 0 is set aside: too hot")
        self.assertEqual(self.devices.obstacle((1, 2)), "")

    def test_groups_have_none_of_it(self) -> None:
        self.quarantine.examined(1, "too hot")
        self.assertEqual(self.devices.take_group(2), (0, 2))
        self.assertIsNone(self.devices.take_group(3))
