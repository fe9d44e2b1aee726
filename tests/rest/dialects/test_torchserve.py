"""TorchServe's words, row by row."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.spec import ModelSummary, VersionDescription, VersionSpec, WorkerDescription, WorkerState
from modelserver.version_settings.values import (
    AUTO_DELAY,
    Batching,
    DeviceSettings,
    Sequences,
    Timeouts,
    WorkerRange,
)
from tests.harness.server_errors import OUT_OF_MEMORY

SPEC = VersionSpec(
    name="noop",
    version="1.0",
    url="noop.mar",
    folder=Path("/unpacked"),
    handler="noop:handle",
    batching=Batching(4, 0.2),
    workers=WorkerRange(1, 2),
    timeouts=Timeouts(startup=60.0, response=2.5, recovery=300.0),
    client_timeout=1.5,
)
WORKER = WorkerDescription("9000", WorkerState.READY, started=1700000000.25, pid=77, memory=4096)


class StatusTests(SynchronousTestCase):
    """Calls that answer with a sentence."""

    def test_sentences(self) -> None:
        dialect = TorchServe()
        rows = [
            (
                dialect.registered("m", "1.0", 0, True),
                200,
                'Model "m" Version: 1.0 registered with 0 initial workers. '
                "Use scale workers API to add workers for the model.",
            ),
            (
                dialect.registered("m", "1.0", 0, False),
                200,
                'Model "m" Version: 1.0 registered with 0 initial workers. '
                "Use scale workers API to add workers for the model.",
            ),
            (dialect.registered("m", "1.0", 2, False), 202, "Processing worker updates..."),
            (
                dialect.registered("m", "1.0", 2, True),
                200,
                'Model "m" Version: 1.0 registered with 2 initial workers',
            ),
            (dialect.scaled("m", None, 2, False, True), 202, "Processing worker updates..."),
            (dialect.scaled("m", None, 2, True, True), 200, "Workers scaled to 2 for model: m"),
            (
                dialect.scaled("m", "1.0", 0, True, True),
                200,
                "Workers scaled to 0 for model: m, version: 1.0",
            ),
            (dialect.scaled("m", None, 2, True, False), 206, "Workers scaling in progress..."),
            (dialect.unregistered("m"), 200, 'Model "m" unregistered'),
            (
                dialect.default_set("m", "2.0"),
                200,
                'Default version successfully updated for model "m" to "2.0"',
            ),
            (dialect.pinged(2, 2, True), 200, "Healthy"),
            (dialect.pinged(2, 1, False), 500, "Unhealthy"),
            (dialect.status("x", 201), 201, "x"),
        ]
        for reply, code, text in rows:
            with self.subTest(text=text):
                self.assertEqual((reply.code, json.loads(reply.body)), (code, {"status": text}))

    def test_bodies_are_printed_as_the_peer_prints_them(self) -> None:
        self.assertEqual(TorchServe().status("a < b é").body, '{\n  "status": "a < b é"\n}\n'.encode())
        self.assertEqual(TorchServe().status("x").headers, ((b"content-type", b"application/json"),))


class DescribeTests(SynchronousTestCase):
    """What describe and list show."""

    def test_a_delay_that_the_server_chooses_is_shown_as_it_is_now(self) -> None:
        spec = evolve(SPEC, batching=Batching(4, AUTO_DELAY))
        (model,) = json.loads(
            TorchServe().described([VersionDescription(spec, True, (), batch_delay=0.002)]).body
        )
        self.assertEqual((2, "auto"), (model["maxBatchDelay"], model["batchDelay"]))

    def test_keys_and_their_order(self) -> None:
        reply = TorchServe().described([VersionDescription(SPEC, True, (WORKER,), waiting=3)])
        (model,) = json.loads(reply.body)
        expected = {
            "modelName": "noop",
            "modelVersion": "1.0",
            "modelUrl": "noop.mar",
            "runtime": "python",
            "minWorkers": 1,
            "maxWorkers": 2,
            "batchSize": 4,
            "maxBatchDelay": 200,
            "responseTimeout": 2.5,
            "startupTimeout": 60,
            "maxRetryTimeoutInSec": 300,
            "clientTimeoutInMills": 1500,
            "parallelType": "",
            "parallelLevel": 0,
            "deviceType": "cpu",
            "continuousBatching": False,
            "useJobTicket": False,
            "useVenv": False,
            "stateful": False,
            "sequenceMaxIdleMSec": 0,
            "sequenceTimeoutMSec": 0,
            "maxNumSequence": 0,
            "maxSequenceJobQueueSize": 0,
            "loadedAtStartup": False,
            "workers": [
                {
                    "id": "9000",
                    "startTime": "2023-11-14T22:13:20.250Z",
                    "status": "READY",
                    "memoryUsage": 4096,
                    "pid": 77,
                    "gpu": False,
                    "gpuUsage": "N/A",
                }
            ],
            "jobQueueStatus": {"remainingCapacity": 97, "pendingRequests": 3},
        }
        self.assertEqual(model, expected)
        self.assertEqual(list(model), list(expected))

    def test_optional_keys(self) -> None:
        spec = evolve(
            SPEC,
            engine="Torch",
            devices=DeviceSettings("gpu", (0, 2)),
            sequences=Sequences(0.5, 2.0, 7, 9, enabled=True),
        )
        template = WorkerDescription("t", WorkerState.READY, 0.0, pid=5, memory=1)
        description = VersionDescription(spec, True, (), metadata={"a": 1}, template=template)
        (model,) = json.loads(TorchServe().described([description]).body)
        self.assertEqual(model["engine"], "Torch")
        self.assertEqual(model["deviceIds"], [0, 2])
        self.assertEqual([model[key] for key in ("sequenceMaxIdleMSec", "sequenceTimeoutMSec")], [500, 2000])
        self.assertEqual([model[key] for key in ("maxNumSequence", "maxSequenceJobQueueSize")], [9, 7])
        self.assertEqual(model["customizedMetadata"], {"a": 1})
        self.assertEqual(model["template"], {"pid": 5, "status": "READY", "memoryUsage": 1})

    def test_memory_apart_and_threads_where_they_are_known(self) -> None:
        spec = VersionSpec("noop", "1.0", "noop.mar", Path("/nowhere"), "handler")
        worker = evolve(WORKER, private=4000, shared=96, threads=2)
        body = json.loads(TorchServe().described([VersionDescription(spec, True, (WORKER, worker))]).body)
        plain, told = body[0]["workers"]
        more = {"memoryPrivate": 4000, "memoryShared": 96, "threads": 2}
        self.assertEqual(told, {**plain, **more})
        self.assertFalse(more.keys() & plain.keys())

    def test_words_for_a_workers_state(self) -> None:
        rows = [
            (WorkerState.READY, "READY"),
            (WorkerState.STARTING, "LOADING"),
            (WorkerState.WAITING, "LOADING"),
            (WorkerState.DRAINING, "UNLOADING"),
            (WorkerState.STOPPING, "UNLOADING"),
            (WorkerState.DYING, "UNLOADING"),
            (WorkerState.FAILED, "UNLOADING"),
        ]
        for state, word in rows:
            with self.subTest(state=state):
                self.assertEqual(self.worker(evolve(WORKER, state=state))["status"], word)

    def test_gpu_and_pid(self) -> None:
        usage = "gpuId::0 utilization.gpu::1 % utilization.memory::2 % memory.used::3 MiB"
        worker = self.worker(evolve(WORKER, gpu_id=0, gpu_usage=usage, pid=None))
        self.assertEqual((worker["gpu"], worker["gpuUsage"], worker["pid"]), (True, usage, -1))
        worker = self.worker(evolve(WORKER, gpu_id=0))
        self.assertEqual(worker["gpuUsage"], "failed to obtained gpu usage")

    def test_a_worker_that_failed_tells_why(self) -> None:
        worker = self.worker(evolve(WORKER, restarts=2, failure=OUT_OF_MEMORY))
        self.assertEqual(worker["restarts"], 2)
        self.assertEqual(
            worker["lastFailure"],
            {
                "type": "signal",
                "text": "ended by SIGKILL, out of memory",
                "signal": "SIGKILL",
                "outOfMemory": True,
                "stderr": [],
                "at": "1970-01-01T00:00:00.000Z",
            },
        )

    def worker(self, worker: WorkerDescription) -> dict[str, object]:
        (model,) = json.loads(TorchServe().described([VersionDescription(SPEC, True, (worker,))]).body)
        (shown,) = model["workers"]
        assert isinstance(shown, dict)
        return shown

    def test_list(self) -> None:
        reply = TorchServe().listed([ModelSummary("a", "a.mar"), ModelSummary("b", "b.mar")], "2")
        self.assertEqual(list(json.loads(reply.body)), ["nextPageToken", "models"])
        self.assertEqual(
            json.loads(reply.body),
            {
                "nextPageToken": "2",
                "models": [
                    {"modelName": "a", "modelUrl": "a.mar"},
                    {"modelName": "b", "modelUrl": "b.mar"},
                ],
            },
        )
        self.assertEqual(TorchServe().listed([], None).body, b'{\n  "models": []\n}\n')
