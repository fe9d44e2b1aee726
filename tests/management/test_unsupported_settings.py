"""What a registration warns of."""

from __future__ import annotations

from unittest import TestCase

from modelserver.management.unsupported_settings import unsupported_settings
from modelserver.testing.providers import make_spec
from modelserver.version_settings.values import Torchrun


class UnservedTests(TestCase):
    """Keys of a model-config that this server does not serve are named."""

    def test_plain_version_has_none(self) -> None:
        for settings in (
            {"job_tickets": True, "use_venv": True, "parallel_type": "tp", "async_communication": True},
            {"stateful": True, "continuous_batching": True},
        ):
            self.assertEqual(unsupported_settings(make_spec(**settings)), [])

    def test_each_key_is_named(self) -> None:
        for key, settings in (
            ("asyncCommunication", {"continuous_batching": True, "async_communication": True}),
            ("asyncCommunication", {"stateful": True, "async_communication": True}),
            ("continuousBatching", {"continuous_batching": True, "torchrun": Torchrun(2)}),
            ("asyncCommunication", {"async_communication": True, "torchrun": Torchrun(2)}),
        ):
            with self.subTest(key):
                (sentence,) = unsupported_settings(make_spec(**settings))
                self.assertTrue(sentence.startswith(key), sentence)
