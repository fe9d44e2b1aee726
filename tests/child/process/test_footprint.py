"""What a process holds that a copy of it would share or lack."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.process.footprint import Footprint


class FootprintTests(SynchronousTestCase):
    """Each kind, in this process; what it holds before is not looked at, but for threads and processes."""

    def setUp(self) -> None:
        self.before = Footprint.taken()
        self.always = self.before.hazards(of_libraries=True)
        self.file = Path(self.mktemp())
        self.file.write_text("text")

    def new_hazards(self, of_libraries: bool = False) -> list[str]:
        """What has come since the start of the test."""
        return [each for each in self.before.hazards(of_libraries) if each not in self.always]

    def test_nothing(self) -> None:
        self.assertEqual([], self.new_hazards(of_libraries=True))

    def test_file_that_is_read(self) -> None:
        for mode in ("r", "r+", "a+"):
            with open(self.file, mode):
                self.assertEqual([f"files are open ({self.file.absolute()})"], self.new_hazards())
        self.assertEqual([], self.new_hazards(of_libraries=True))

    def test_file_that_is_only_written_is_for_libraries_to_leave_alone(self) -> None:
        with open(self.file, "a"):
            self.assertEqual([], self.new_hazards())
            self.assertEqual(
                [f"files are open ({self.file.absolute()})"], self.new_hazards(of_libraries=True)
            )

    def test_many_files(self) -> None:
        with ExitStack() as opened:
            for _ in range(4):
                opened.enter_context(open(self.file))
            (told,) = self.new_hazards()
        self.assertTrue(told.endswith(", ...)"), told)

    def test_devices_without_a_position(self) -> None:
        with open("/dev/null"), open("/dev/urandom", "rb"):
            self.assertEqual([], self.new_hazards(of_libraries=True))

    def test_sockets_and_pipes(self) -> None:
        with socket.socket():
            self.assertEqual(["sockets are open"], self.new_hazards())
        ends = os.pipe()
        (told,) = self.new_hazards()
        self.assertTrue(told.startswith("descriptors are open (pipe:["), told)
        for end in ends:
            os.close(end)

    def test_memory(self) -> None:
        with mmap.mmap(-1, 8):
            self.assertEqual(["memory is shared with future processes"], self.new_hazards())
        with open(self.file, "rb") as file, mmap.mmap(file.fileno(), 4, access=mmap.ACCESS_READ):
            file.close()
            self.assertNotIn("memory is shared with future processes", self.new_hazards())

    def test_thread(self) -> None:
        end = threading.Event()
        thread = threading.Thread(target=end.wait, name="waits")
        thread.start()
        (told,) = self.new_hazards()
        self.assertRegex(told, r"^threads are alive \(.*waits")
        end.set()
        thread.join()

    def test_process(self) -> None:
        if "processes were started" in self.always:
            self.skipTest("this process has others")
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
            self.assertIn("processes were started", self.new_hazards())
            assert child.stdin is not None
            child.stdin.close()
