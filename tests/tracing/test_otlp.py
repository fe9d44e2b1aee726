"""Spans on the wire, by OpenTelemetry's own client."""

from __future__ import annotations

import gc
import time
from unittest import TestCase, skipIf

from modelserver.tracing.otlp import OtlpSender, missing_package
from tests.harness.server_process import free_ports


def requests_kept() -> int:
    """How many of the clients' requests are in memory, or errors that keep them, each with its body."""
    return sum([type(each).__name__ in ("PreparedRequest", "MaxRetryError") for each in gc.get_objects()])


@skipIf(missing_package(), "the packages of the extra tracing are not installed")
class DeadCollectorTests(TestCase):
    """A collector that is down: nobody listens where it should."""

    def test_what_could_not_be_sent_is_not_kept(self) -> None:
        (port,) = free_ports(1)
        sender = OtlpSender({"service.name": "x"}, f"http://127.0.0.1:{port}/v1/traces", 0.1, time.monotonic)
        self.addCleanup(gc.enable)
        gc.collect()
        before = requests_kept()
        gc.disable()  # a server hardly ever looks for garbage
        for _ in range(3):
            self.assertFalse(sender.send([b"x" * 1000], 1))
        self.assertEqual(before, requests_kept())
