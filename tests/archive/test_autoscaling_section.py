"""The section ``autoscaling`` of ``model-config.yaml``."""

from __future__ import annotations

from unittest import TestCase

from modelserver.archive.autoscaling_section import read_autoscaling
from modelserver.archive.model_config import read_model_config
from modelserver.errors import ArchiveInvalid

WRONG: tuple[tuple[object, str], ...] = (
    (True, "autoscaling is not a mapping"),
    ({"minWorkers": -1}, "autoscaling.minWorkers must be a whole number from 0"),
    ({"minWorkers": "two"}, "autoscaling.minWorkers must be a whole number"),
    ({"maxWorkers": True}, "autoscaling.maxWorkers must be a whole number"),
    ({"maxWorkers": 1.5}, "autoscaling.maxWorkers must be a whole number"),
    ({"maxWorkers": 2**31}, "autoscaling.maxWorkers must be a whole number"),
    ({"minWorkers": 3, "maxWorkers": 2}, "autoscaling.maxWorkers is less than autoscaling.minWorkers"),
    ({"targetQueueTime": 0}, "autoscaling.targetQueueTime must be a whole number from 1"),
    ({"idleTimeout": None}, "autoscaling.idleTimeout must be a whole number"),
    ({"keepTemplate": "no"}, "autoscaling.keepTemplate must be true or false"),
    ({"enabled": 1}, "autoscaling.enabled must be true or false"),
    ({"idletimeout": 5}, "there is no key autoscaling.idletimeout"),
)


class SectionTests(TestCase):
    """What is read, and what is refused with the key in the text."""

    def test_nothing_is_said(self) -> None:
        self.assertEqual(read_autoscaling(None), {})

    def test_the_section_alone_switches_it_on(self) -> None:
        self.assertEqual(read_autoscaling({}), {"autoscale": True})
        self.assertEqual(read_autoscaling({"enabled": False}), {"autoscale": False})

    def test_units(self) -> None:
        section = {
            "minWorkers": 0,
            "maxWorkers": 8,
            "targetQueueTime": 50,
            "idleTimeout": 60,
            "scaleDownDelay": 9,
            "keepTemplate": False,
            "loadTimeout": 30,
        }
        self.assertEqual(
            read_model_config({"autoscaling": section}, 0)[0].settings,
            {
                "autoscale": True,
                "least": 0,
                "most": 8,
                "target_queue_time": 0.05,
                "idle_timeout": 60.0,
                "scale_down_delay": 9.0,
                "keep_template": False,
                "load_timeout": 30.0,
            },
        )

    def test_what_is_wrong_is_refused(self) -> None:
        for section, why in WRONG:
            with self.subTest(section), self.assertRaises(ArchiveInvalid) as caught:
                read_autoscaling(section)
            self.assertIn(why, str(caught.exception))
