"""What a describe says of a version whose number of workers the server decides."""

from __future__ import annotations

import json
from unittest import TestCase

from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.spec import ScaleDecision, ScalingDescription, VersionDescription
from modelserver.testing.providers import START_OF_TIME, make_spec
from modelserver.version_settings.values import Autoscaling, WorkerRange

SHOWN = {
    "autoscaling": {
        "targetQueueTime": 20,
        "idleTimeout": 300,
        "scaleDownDelay": 2,
        "keepTemplate": True,
        "loadTimeout": 120,
    },
    "wantedWorkers": 3,
    "lastDecision": {
        "workers": 3,
        "reason": "load",
        "text": "too many",
        "at": "2023-11-14T22:13:20.000Z",
    },
}


def described(is_on: bool) -> VersionDescription:
    """Return a version with autoscale, or one that had it once."""
    settings = Autoscaling(enabled=is_on)
    scaling = ScalingDescription(settings, 3, ScaleDecision(3, "load", "too many", START_OF_TIME))
    spec = make_spec(autoscaling=settings, workers=WorkerRange(0, 8))
    return VersionDescription(spec, True, (), scaling=scaling)


class ScalingTests(TestCase):
    """Both dialects show the same keys, and none where the caller says how many workers there are."""

    def test_torchserve(self) -> None:
        (shown,) = json.loads(TorchServe().described([described(True)]).body)
        self.assertEqual(shown, {**shown, **SHOWN, "minWorkers": 0, "maxWorkers": 8})

    def test_mms(self) -> None:
        shown = json.loads(MultiModelServer().described([described(True)]).body)
        self.assertEqual(shown, {**shown, **SHOWN, "minWorkers": 0, "maxWorkers": 8})

    def test_off(self) -> None:
        (shown,) = json.loads(TorchServe().described([described(False)]).body)
        self.assertEqual(set(shown) & set(SHOWN), set())
