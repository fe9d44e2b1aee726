"""What the server reads from the ``models`` JSON."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from modelserver.management.models_json import VersionPreset, read_models


class ModelsTests(SynchronousTestCase):
    """The ``models`` JSON."""

    def test_everything(self) -> None:
        entry = {
            "defaultVersion": True,
            "marName": "m.mar",
            "minWorkers": 1,
            "maxWorkers": 2,
            "batchSize": 4,
            "maxBatchDelay": 50,
            "responseTimeout": 33,
            "startupTimeout": "44",
            "runtimeType": "python3",
            "parallelLevel": 2,
        }
        expected = VersionPreset(
            runtime="python3",
            settings={
                "min_workers": 1,
                "max_workers": 2,
                "batch_size": 4,
                "max_batch_delay": 0.05,
                "response_timeout": 33.0,
                "startup_timeout": 44.0,
            },
        )
        self.assertEqual(read_models(json.dumps({"m": {"1.0": entry}})), {"m": {"1.0": expected}})

    def test_values_that_are_not_above_zero_are_unset(self) -> None:
        for value in (0, -1, 0.0):
            text = json.dumps({"m": {"1": {"batchSize": value, "responseTimeout": value}}})
            self.assertEqual(read_models(text), {"m": {"1": VersionPreset()}})

    def test_refused(self) -> None:
        for text, reason in (
            ("{", "Expecting property name"),
            ("[]", "it is not a JSON object"),
            ('{"m": 1}', "'m' does not hold versions"),
            ('{"m": {"1": 2}}', "version '1' of 'm' is not an object"),
            ('{"m": {"1": {"batchSize": "x"}}}', "batchSize of version '1' of 'm': a whole number is needed"),
            ('{"m": {"1": {"batchSize": null}}}', "batchSize of version '1' of 'm': a whole number"),
        ):
            error = self.assertRaises(ValueError, read_models, text)
            self.assertIn(reason, str(error))
