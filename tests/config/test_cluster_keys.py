"""The keys of a cluster, and what is said of values that lead to none."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import read_value
from modelserver.config.value_types import ConfigurationError

READ: tuple[tuple[str, str, object], ...] = (
    ("ray_address", "auto", "auto"),
    ("ray_address", "local", "local"),
    ("ray_address", "192.0.2.1:6379", "192.0.2.1:6379"),
    ("ray_address", "[2001:db8::1]:6379", "[2001:db8::1]:6379"),
    ("remote_address", "192.0.2.1", "192.0.2.1"),
    ("remote_address", "head.example:7443", "head.example:7443"),
    ("remote_silence", "0.5", 0.5),
    ("remote_lost", "30", 30.0),
    ("remote_cache_size", "2G", 2 * 1024**3),
)
REFUSED = (
    ("ray_address", "head"),
    ("ray_address", "http://head:6379"),
    ("ray_address", "head:port"),
    ("remote_address", "head:7443:1"),
    ("remote_silence", "0"),
    ("remote_lost", "-1"),
    ("remote_cache_size", "0"),
)


class ClusterKeysTests(SynchronousTestCase):
    """What a configuration says of a cluster."""

    def test_values_are_read(self) -> None:
        for name, text, value in READ:
            with self.subTest(name=name, text=text):
                self.assertEqual(value, read_value(name, text, Path("/srv")))

    def test_what_leads_nowhere_is_refused(self) -> None:
        for name, text in REFUSED:
            with self.subTest(name=name, text=text):
                with self.assertRaises(ConfigurationError) as raised:
                    read_value(name, text, Path("/srv"))
                self.assertIn(name, str(raised.exception))

    def test_address_of_rays_client_server_is_refused_with_the_reason(self) -> None:
        with self.assertRaises(ConfigurationError) as raised:
            read_value("ray_address", "ray://head:10001", Path("/srv"))
        self.assertIn("give the address of the cluster's head itself", str(raised.exception))
