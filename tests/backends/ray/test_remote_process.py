"""What a node says is checked: nonsense ends its worker, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.node_usage import to_document
from modelserver.backends.ray.remote_process import RemoteProcess
from modelserver.backends.ray.remote_services import RemoteServices
from modelserver.backends.ray.wire import NodeKind
from modelserver.devices import GpuMemory, GpuUsage
from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import pack_answers
from modelserver.protocol.frames import Frame, FrameError
from modelserver.spec import DEVICE, WorkerFailure, WorkerSpec
from modelserver.testing.providers import START_OF_TIME, make_spec
from tests.harness.backend_contract import RecordingEvents


class NoLoop:
    """An event loop that runs what is soon when it is told."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None: ...
    def remove_reader(self, fd: int) -> None: ...
    def add_writer(self, fd: int, callback: Callable[[], object]) -> None: ...
    def remove_writer(self, fd: int) -> None: ...
    def call_soon(self, callback: Callable[[], object]) -> None:
        """Keep it."""
        self.soon.append(callback)


def said(kind: int, document: object = None, number: int = 0) -> Frame:
    """A frame as a node sends it."""
    payload = b"" if document is None else json.dumps(document).encode()
    return Frame(kind, 0, 0, number, memoryview(payload))


class RemoteProcessTests(SynchronousTestCase):
    """A worker whose node says what the test wants."""

    def setUp(self) -> None:
        self.loop, self.events = NoLoop(), RecordingEvents()
        services = RemoteServices(self.loop, Clock(), lambda: START_OF_TIME, None, 3.0, 15.0)
        self.process = RemoteProcess(
            WorkerSpec(make_spec(), "9000"), services, self.events, 1 << 20, b"", lambda link, is_wanted: None
        )

    def test_process_and_memory_are_told(self) -> None:
        self.process.placed("b/1234", "192.0.2.2", "group", "it has room")
        self.process.frame_arrived(said(NodeKind.SPAWNED, {"pid": 4711, "host": "b"}))
        self.process.frame_arrived(said(NodeKind.USAGE, {"memory": 1 << 20}))
        place = self.process.place
        self.assertEqual(("b/1234", 4711, 1 << 20), (place.node, self.process.pid, place.memory))

    def test_load_of_its_gpu_is_what_the_driver_there_tells(self) -> None:
        self.process.frame_arrived(said(NodeKind.SPAWNED, {"pid": 4711, "host": "b"}))
        load = GpuUsage(40.0, 20.0, 3 << 30, 80 << 30, {4711: 1 << 30, 1: 2 << 30})
        self.process.frame_arrived(said(NodeKind.USAGE, to_document(100, 4711, load)))
        expected = evolve(load, processes={4711: 1 << 30})
        self.assertEqual((100, expected), (self.process.place.memory, self.process.place.gpu))
        self.process.frame_arrived(said(NodeKind.USAGE, to_document(200, 4711, None)))
        self.assertEqual((200, None), (self.process.place.memory, self.process.place.gpu))
        with self.assertRaises(FrameError):
            self.process.frame_arrived(said(NodeKind.USAGE, {"memory": 1, "gpu": 2}))

    def test_memory_of_its_gpus_is_what_it_tells(self) -> None:
        self.assertIsNone(self.process.gpu_memory)
        self.process.frame_arrived(said(frames.DEVICE_MEMORY, {"allocated": 1, "reserved": 2, "peak": 3}))
        self.assertEqual(GpuMemory(1, 2, 3), self.process.gpu_memory)
        with self.assertRaises(FrameError):
            self.process.frame_arrived(said(frames.DEVICE_MEMORY, {"allocated": 1}))

    def test_end_is_told_once(self) -> None:
        for _ in range(2):
            self.process.frame_arrived(said(NodeKind.EXITED, {"code": None, "signal": 11}))
        self.assertEqual(["SIGSEGV"], [failure.signal for failure in self.events.failures])
        self.assertIsNone(self.process.pid)

    def test_nonsense_of_an_end_is_an_end(self) -> None:
        self.process.frame_arrived(
            said(NodeKind.EXITED, {"code": "three", "signal": 4711, "out_of_memory": 1})
        )
        (failure,) = self.events.failures
        self.assertEqual((None, None, False), (failure.exit_code, failure.signal, failure.out_of_memory))

    def test_device_that_fails_is_the_reason_of_the_end(self) -> None:
        text = "CUDA error 710 (device-side assert)"
        report = {"exception": "AcceleratorError", "text": text, "traceback": ["at"], "device_code": 710}
        self.process.frame_arrived(said(frames.DEVICE_FAILED, report))
        self.process.frame_arrived(said(NodeKind.EXITED, {"code": 1, "signal": None}))
        (failure,) = self.events.failures
        expected = WorkerFailure(
            DEVICE, START_OF_TIME, 1, None, "AcceleratorError", text, ("at",), device_code=710
        )
        self.assertEqual(expected, failure)

    def test_frames_without_a_meaning_are_refused(self) -> None:
        for kind in (frames.LOAD, frames.BATCH, NodeKind.START, 200, NodeKind.ECHO):
            with self.assertRaises(FrameError):
                self.process.frame_arrived(said(kind, {}))

    def test_answers_to_what_others_have_by_now_are_dropped(self) -> None:
        awaited = self.process._awaited
        awaited.sent(7, 1)
        awaited.sent(8, 1)
        self.process._went_silent()
        awaited.sent(9, 1)
        for number in (7, 8, 9):
            frame = b"".join(pack_answers(frames.ANSWERS, number, 0.1, [(0, Answer(200, b"", b"a"))]))
            self.process.frame_arrived(Frame(frames.ANSWERS, 0, 1, number, memoryview(frame)[16:]))
        self.assertEqual([9], [number for number, _ in self.events.answers])
        self.assertFalse(awaited.is_given_up(7) or awaited.is_given_up(8))

    def test_worker_without_a_place_is_counted_until_it_has_one(self) -> None:
        nodes = self.process.services.accounts.nodes
        self.assertEqual({}, dict(nodes().unplaced))
        self.process.waits("asked for CPU 4; free: a: CPU 1")
        self.assertEqual({self.process.version_key: 1}, dict(nodes().unplaced))
        self.process.placed("b/1234", "192.0.2.2", "group", "it has room")
        self.assertEqual({}, dict(nodes().unplaced))

    def test_reason_why_there_is_no_place_is_that_of_the_end(self) -> None:
        self.process.waits("asked for CPU 4; free: a: CPU 1")
        self.process.kill("startup timeout")
        for call in self.loop.soon:
            call()
        (failure,) = self.events.failures
        expected = WorkerFailure("startup timeout", START_OF_TIME, text="asked for CPU 4; free: a: CPU 1")
        self.assertEqual(expected, failure)
