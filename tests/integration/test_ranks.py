"""Parallel workers under the real torchrun: several processes, one worker."""

from __future__ import annotations

import json
import os

import pytest
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.process import ProcessReader
from twisted.internet.task import deferLater

from modelserver.backends.local import LocalBackend
from modelserver.backends.process import OUTPUT_WAIT
from modelserver.backends.torchrun import TorchrunBackend
from modelserver.interfaces import WorkerBackend, WorkerProcess
from modelserver.jobs import Answer, SharedSlot
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.spec import DEVICE, WorkerSpec
from modelserver.testing.providers import make_job
from modelserver.version_settings.values import DeviceSettings, Torchrun
from tests.harness.backend_contract import RecordingEvents
from tests.harness.server_process import ServerTests, eventually, is_alive
from tests.integration.test_backends import ProcessBackendContract

pytestmark = pytest.mark.slow

RANKS = 2
SLOT = 1 << 20
SUM = """
import json
import os
import signal
import subprocess
import sys

import torch
import torch.distributed as dist
from ts.handler_utils.utils import send_intermediate_predict_response

NAMES = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS")
ENDINGS = {b"exit": lambda: os._exit(9), b"signal": lambda: os.kill(os.getpid(), signal.SIGSEGV)}


class Sum:
    def initialize(self, context):
        self.config = context.model_yaml_config
        self.gpu = context.system_properties["gpu_id"]
        dist.init_process_group("gloo")
        self.rank = dist.get_rank()
        if self.config.get("failing_rank") == self.rank:
            raise LookupError(f"no weights for rank {self.rank}")
        self.pids = [os.getpid()]
        if self.config.get("has_child"):
            self.pids.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid)

    def handle(self, data, context):
        bodies = [bytes(row.get("body") or b"") for row in data]
        if self.rank == 1 and bodies[0] in ENDINGS:
            ENDINGS[bodies[0]]()
        if self.rank == 1 and bodies[0] == b"poison":
            error = torch.AcceleratorError("CUDA error: device-side assert triggered")
            error.error_code = 710  # as torch sets it; there need not be a GPU
            raise error
        if self.rank == 1 and bodies[0] == b"odd":
            return "what is no list, from a rank that is not asked"
        if bodies[0] == b"parts":
            send_intermediate_predict_response(["part "], context.request_ids, "", 200, context)
        if bodies[0] == b"alone":
            return [f"rank {self.rank} of {dist.get_world_size()}"]
        return [json.dumps(self.see(body)).ljust(len(body)) for body in bodies]

    def see(self, body):
        total = torch.tensor([10.0 ** self.rank, float(len(body)), float(sum(body[:100]))])
        dist.all_reduce(total)
        pids = [None, None]
        dist.all_gather_object(pids, self.pids)
        env = [os.environ[name] for name in NAMES]
        return {"sum": total.tolist(), "pids": pids, "gpu": self.gpu, "env": env}
"""
PIPELINE = """
import torch
from torch.distributed import rpc
from ts.torch_handler.distributed.base_pippy_handler import BasePippyHandler


def double(tensor):
    return tensor * 2 + 100 * rpc.get_worker_info().id


class Pipeline(BasePippyHandler):
    def handle(self, data, context):
        if self.local_rank:
            raise AssertionError("a rank that is not the first was asked")
        tensor = torch.tensor([len(row["body"]) for row in data])
        return rpc.rpc_sync("worker1", double, (tensor,)).tolist()
"""


class RanksTests(ProcessBackendContract):
    """A worker of two ranks keeps the contract, and is one worker in all else."""

    __test__ = True
    timeout = 180

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.pipes_ended)
        (self.folder / "sum.py").write_text(SUM)

    def new_backend(self, local: LocalBackend) -> WorkerBackend:
        self.slots = SharedMemoryPool.open(SLOT)
        if self.slots is not None:
            self.addCleanup(self.slots.close)
        local.machine = evolve(local.machine, slots=self.slots)
        local.settings = evolve(local.settings, torchrun_logs=str(self.folder / "logs"))
        return TorchrunBackend(local, local)

    def _spec(self, handler: str, worker: str) -> WorkerSpec:
        spec = super()._spec(handler, worker)
        torchrun = Torchrun(ranks=RANKS, monitor_interval=1.0)
        version = evolve(
            spec.version,
            devices=DeviceSettings(parallel_type="tp", parallel_level=RANKS),
            torchrun=torchrun,
        )
        return evolve(spec, version=version)

    def start(self, **config: object) -> tuple[RecordingEvents, WorkerProcess]:
        """Launch ranks that add up what they see."""
        spec = self._spec("sum.py", "29500")
        version = evolve(spec.version, config=config)
        events = RecordingEvents()
        return events, self.backend.launch(events, evolve(spec, version=version))

    async def ready(self) -> tuple[RecordingEvents, WorkerProcess]:
        """Ranks that have loaded."""
        events, process = self.start(has_child=True)
        await events.when(lambda: "loaded" in events.told or events.is_over)
        self.assertEqual([], events.failures)
        return events, process

    async def ask(
        self, events: RecordingEvents, process: WorkerProcess, *bodies: bytes | SharedSlot
    ) -> list[Answer]:
        """Send a batch, and wait."""
        before = len(events.answers)
        jobs = [make_job(body) for body in bodies]
        process.send(before, jobs)
        process.flush()
        await events.when(lambda: len(events.answers) > before or events.is_over)
        self.assertEqual([], events.failures)
        answers = [answer for answer in events.answers[-1][1] if isinstance(answer, Answer)]
        self.assertEqual(len(bodies), len(answers))
        return answers

    async def pipes_ended(self) -> None:
        """Wait until no rank writes any more: they are killed, but nobody waits for them."""
        while any(isinstance(reader, ProcessReader) for reader in reactor.getReaders()):
            await deferLater(reactor, 0.02)
        # The backend looks once more at the pipes of a worker that has ended.
        await deferLater(reactor, 2 * OUTPUT_WAIT)

    async def gone(self, pids: list[int]) -> None:
        """Wait until these processes have ended."""
        while any(is_alive(pid) for pid in pids):
            await deferLater(reactor, 0.02)

    async def test_ranks_compute_together_and_end_together(self) -> None:
        events, process = await self.ready()
        one, two = [json.loads(bytes(a.body)) for a in await self.ask(events, process, b"\1\2", b"\3")]
        self.assertEqual([[11.0, 4.0, 6.0], [11.0, 2.0, 6.0]], [one["sum"], two["sum"]])
        self.assertEqual((["0", "0", "2", "2", "1"], None), (one["env"], one["gpu"]))
        (part,) = await self.ask(events, process, b"parts")
        self.assertEqual(
            (1, 22.0 / 2), (events.told.count("part_arrived"), json.loads(bytes(part.body))["sum"][0])
        )
        (alone,) = await self.ask(events, process, b"alone")
        (odd,) = await self.ask(events, process, b"odd alone")
        self.assertEqual((b"rank 0 of 2", 200), (alone.body, odd.status))
        process.stop()
        await events.when(lambda: events.is_over)
        self.assertEqual("exit", events.failures[0].cause)
        await self.gone([pid for pair in one["pids"] for pid in pair])

    async def test_every_rank_sees_a_large_body_whole(self) -> None:
        if self.slots is None:
            self.skipTest("this system has no memory to share")
        events, process = await self.ready()
        places = []
        for value in (1, 2):
            place = self.slots.take(2 * LARGE)
            assert place is not None
            self.slots.view(place)[:] = bytes([value]) * (2 * LARGE)
            places.append(place)
        answers = await self.ask(events, process, *places)
        self.assertEqual([2 * LARGE] * 2, [len(answer.body) for answer in answers])
        sums = [json.loads(bytes(answer.body))["sum"] for answer in answers]
        self.assertEqual([[11.0, 4.0 * LARGE, 200.0], [11.0, 4.0 * LARGE, 400.0]], sums)
        process.kill("exit")
        await events.when(lambda: events.is_over)

    async def test_end_of_a_rank_is_the_end_of_the_worker(self) -> None:
        for order, code, name in ((b"exit", 9, None), (b"signal", None, "SIGSEGV")):
            events, process = await self.ready()
            (seen,) = await self.ask(events, process, b"")
            process.send(1, [make_job(order)])
            process.flush()
            await events.when(lambda events=events: events.is_over)  # type: ignore[misc]  # it has defaults
            (failure,) = events.failures
            self.assertEqual((code, name), (failure.exit_code, failure.signal), failure)
            self.assertIn("rank 1 of 2", str(failure))
            await self.gone([pid for pair in json.loads(bytes(seen.body))["pids"] for pid in pair])

    async def test_rank_whose_device_fails_tells_why(self) -> None:
        events, process = await self.ready()
        process.send(1, [make_job(b"poison")])
        process.flush()
        await events.when(lambda: events.is_over)
        (failure,) = events.failures
        told = (failure.cause, failure.device_code, failure.exception)
        self.assertEqual((DEVICE, 710, "AcceleratorError"), told, failure)

    async def test_rank_that_cannot_load_tells_why(self) -> None:
        events, _ = self.start(failing_rank=1)
        await events.when(lambda: events.is_over)
        (failure,) = events.failures
        self.assertEqual(
            ("load", "LookupError", "no weights for rank 1"), (failure.cause, failure.exception, failure.text)
        )
        self.assertNotIn("loaded", events.told)

    async def test_in_a_pipeline_the_first_rank_calls_the_others(self) -> None:
        (self.folder / "pipeline.py").write_text(PIPELINE)
        spec = self._spec("pipeline.py", "29500")
        version = evolve(
            spec.version,
            devices=evolve(spec.version.devices, parallel_type="pp"),
            config={"pippy": {"rpc_timeout": 60, "num_worker_threads": 4}},
        )
        events = RecordingEvents()
        process = self.backend.launch(events, evolve(spec, version=version))
        await events.when(lambda: "loaded" in events.told or events.is_over)
        answers = await self.ask(events, process, b"a", b"bcd")
        self.assertEqual([b"102", b"106"], [answer.body for answer in answers])
        process.stop()
        await events.when(lambda: events.is_over)

    async def test_what_torchrun_refuses_is_told(self) -> None:
        spec = self._spec("sum.py", "29500")
        torchrun = Torchrun(ranks=RANKS, rdzv_backend="carrier-pigeon")
        events = RecordingEvents()
        self.backend.launch(events, evolve(spec, version=evolve(spec.version, torchrun=torchrun)))
        await events.when(lambda: events.is_over)
        (failure,) = events.failures
        self.assertEqual("load", failure.cause)
        self.assertIn("carrier-pigeon", failure.text)


class RankedServerTests(ServerTests):
    """A parallel version through HTTP."""

    def test_serves_recovers_and_leaves_nothing(self) -> None:
        server = self.start(models={"plain": "def handle(data, context):\n    return data and ['plain']\n"})
        config = server.folder / "model-config.yaml"
        config.write_text("parallelType: tp\ntorchrun:\n  nproc-per-node: 2\n  OMP_NUMBER_THREADS: 2\n")
        self.add_model(server, "sum", SUM, config_file=str(config))
        self.assert_ok(server.register("sum.mar"))
        self.assert_ok(server.register("plain.mar"))
        (worker,) = server.workers("sum")
        self.assertEqual(("29500", "9000"), (worker["id"], server.workers("plain")[0]["id"]))
        described = server.management("GET", "/models/sum").json()[0]
        self.assertEqual(("tp", 2), (described["parallelType"], described["parallelLevel"]))
        seen = server.predict("sum", b"\1\2").json()
        self.assertEqual(([11.0, 4.0, 6.0], "2"), (seen["sum"], seen["env"][-1]))
        parts = server.predict("sum", b"parts").text
        self.assertTrue(parts.startswith('part {"sum"'), parts)
        self.kill_worker(seen["pids"][1][0])
        eventually(lambda: server.ready("sum") == 1 and server.pids("sum") != [worker["pid"]])
        self.assertIn("ended by SIGKILL, rank 1 of 2", server.log)
        again = server.predict("sum", b"\1\2").json()
        self.assertEqual(seen["sum"], again["sum"])
        processes = [pid for before in (seen, again) for pair in before["pids"] for pid in pair]
        self.assertTrue(is_alive(processes[-1]))
        server.kill()
        eventually(lambda: not any(is_alive(pid) for pid in [*processes, worker["pid"]]))
        self.assertEqual(
            ["torchelastic_ts"], [e.name for e in os.scandir(server.folder / "logs") if "torch" in e.name]
        )
