"""What a registration warns of."""

from __future__ import annotations

from unittest import TestCase

from modelserver.testing import make_spec
from modelserver.unserved import unserved


class UnservedTests(TestCase):
    """Keys of a model-config that this server does not serve are named."""

    def test_plain_version_has_none(self) -> None:
        served = make_spec(job_tickets=True, stateful=True, use_venv=True, parallel_type="tp")
        self.assertEqual(unserved(served), [])

    def test_each_key_is_named(self) -> None:
        for key, settings in (
            ("continuousBatching", {"continuous_batching": True}),
            ("asyncCommunication", {"async_communication": True}),
        ):
            with self.subTest(key):
                (sentence,) = unserved(make_spec(**settings))
                self.assertTrue(sentence.startswith(key), sentence)
