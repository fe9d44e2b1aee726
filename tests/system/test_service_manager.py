"""What a service manager is told."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.system.service_manager import ServiceManager

PID = str(os.getpid())


class ServiceManagerTests(TestCase):
    """``ServiceManager``."""

    def test_variables_are_read_once(self) -> None:
        environment = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1500000", "WATCHDOG_PID": PID, "A": "1"}
        self.assertEqual(ServiceManager("/run/x", 1.5), ServiceManager.from_environment(environment))
        self.assertEqual({"A": "1"}, environment)
        self.assertIsNone(ServiceManager.from_environment(environment))

    def test_only_what_is_for_this_process_counts(self) -> None:
        for variables, watchdog in (
            ({"WATCHDOG_USEC": "20000"}, 0.02),
            ({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "-5"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({"WATCHDOG_PID": PID}, None),
        ):
            found = ServiceManager.from_environment({"NOTIFY_SOCKET": "@x", **variables})
            self.assertEqual(ServiceManager("@x", watchdog), found)

    def test_an_address_of_another_kind_is_nobody(self) -> None:
        for address in ("", "relative", "vsock:2:1"):
            self.assertIsNone(ServiceManager.from_environment({"NOTIFY_SOCKET": address}))

    def test_lines_in_one_datagram(self) -> None:
        with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            path = str(Path(folder) / "notify")
            listening.bind(path)
            ServiceManager(path).tell(READY="1", STATUS="größer")
            self.assertEqual("READY=1\nSTATUS=größer".encode(), listening.recv(100))

    def test_an_abstract_name(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(f"\0modelserver-test-{PID}")
            ServiceManager(f"@modelserver-test-{PID}").tell(STOPPING="1")
            self.assertEqual(b"STOPPING=1", listening.recv(100))

    def test_nobody_there(self) -> None:
        with self.assertRaises(OSError):
            ServiceManager("/nowhere/notify").tell(READY="1")
