"""What spans are sent with."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase, skipIf

from modelserver.tracing.otlp import missing_package
from modelserver.tracing.transport import CREDENTIALS, transport_for

URL = "http://collector:4318/v1/traces"


def exporter(endpoint: str, _transport: object = None) -> None:
    """What has the arguments of an exporter that can send by something else."""


def old_exporter(endpoint: str) -> None:
    """What has those of one that cannot."""


@skipIf(missing_package(), "the packages of the extra tracing are not installed")
class TransportTests(TestCase):
    """When spans are sent by the lighter client."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.home = Path(folder.name)

    def is_light(self, endpoint: str | None = URL, made: object = exporter, **variables: str) -> bool:
        return "_transport" in transport_for(made, endpoint, variables, self.home)  # type: ignore[arg-type]

    def test_a_collector_in_the_clear_needs_no_more(self) -> None:
        self.assertTrue(self.is_light())
        self.assertTrue(self.is_light(None))
        self.assertTrue(self.is_light(None, OTEL_EXPORTER_OTLP_ENDPOINT="http://other:4318"))
        self.assertTrue(self.is_light(http_proxy=""))

    def test_certificates_are_left_to_requests(self) -> None:
        self.assertFalse(self.is_light("https://collector:4318/v1/traces"))
        self.assertFalse(self.is_light(None, OTEL_EXPORTER_OTLP_ENDPOINT="https://other:4318"))
        both = {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://other/x"}
        self.assertFalse(self.is_light(None, **both))

    def test_proxies_are_left_to_requests(self) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            self.assertFalse(self.is_light(**{name: "http://proxy:3128"}), name)

    def test_passwords_are_left_to_requests(self) -> None:
        self.assertFalse(self.is_light(NETRC="/etc/netrc"))
        (self.home / ".netrc").touch()
        self.assertFalse(self.is_light())

    def test_sessions_of_plug_ins_are_left_to_requests(self) -> None:
        for name in CREDENTIALS:
            self.assertFalse(self.is_light(**{name: "gcp"}), name)

    def test_an_exporter_that_has_no_other_is_left_as_it_is(self) -> None:
        self.assertFalse(self.is_light(made=old_exporter))
