"""A worker whose device fails is replaced at once, elsewhere if need be, and only the culprit is told."""

from __future__ import annotations

from typing import ClassVar

from modelserver.core.workers.device_moves import leave_device
from modelserver.errors import NotEnoughDevices
from modelserver.spec import DEVICE, WorkerFailure, WorkerState
from modelserver.testing.providers import Stage, make_spec
from tests.harness.workers import TIMEOUTS, WorkerTestCase

ECC = WorkerFailure(
    DEVICE, 0.0, exit_code=1, exception="AcceleratorError", text="CUDA error 214", device_code=214
)


class DeviceMoveTests(WorkerTestCase):
    """Two GPUs, and versions whose workers can be made to fail."""

    settings: ClassVar = {"timeouts": TIMEOUTS}

    def setUp(self) -> None:
        super().setUp()
        self.stage = Stage(gpus=2)
        self.clock = self.stage.clock
        self.version = self.make()
        self.quarantine = self.stage.devices.quarantine

    def test_the_request_that_was_alone_is_told_the_cause_and_not_tried_again(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.exit(ECC)
        self.assertEqual(len(observer.errors), 1)
        self.assertIn("device, exited with code 1, AcceleratorError: CUDA error 214", str(observer.errors[0]))

    def test_the_others_of_a_batch_are_tried_alone(self) -> None:
        self.scaled(batch_size=2, max_batch_delay=10.0)
        observers = self.ask(b"a", b"b")
        self.process.exit(ECC)
        self.stage.turn()
        self.process.load()
        self.stage.turn()
        (_, jobs), *_ = self.process.batches
        self.assertEqual([job.request.body for job in jobs], [b"a"])
        self.process.exit(ECC)  # a is the culprit
        self.stage.turn()
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual([len(observer.errors) for observer in observers], [1, 0])
        self.assertEqual(observers[1].bodies, [b"b"])

    def test_it_is_replaced_at_once_however_often(self) -> None:
        self.scaled()
        for launched in range(2, 5):
            self.process.exit(WorkerFailure(DEVICE, 0.0, device_code=710))
            self.stage.turn()
            self.assertEqual(len(self.stage.backend.workers), launched)
            self.process.load()

    def test_after_three_faults_it_is_elsewhere(self) -> None:
        self.scaled()
        for gpu in (0, 0, 0):
            self.assertEqual(self.process.spec.gpu_id, gpu)
            self.process.exit(ECC)
            self.stage.turn()
        self.assertEqual(self.process.spec.gpu_id, 1)
        other = self.stage.version(make_spec("other"))
        other.pool.scale(1, 1)
        self.assertEqual(other.pool.workers[0].spec.gpu_id, 1)
        self.version.pool.scale(0, 0)
        other.pool.scale(0, 0)
        self.assertEqual(self.stage.devices.take(), 1)

    def test_where_there_is_no_other_the_version_fails_with_the_reason(self) -> None:
        self.quarantine.examined(1, "XID 79")
        self.scaled()
        (worker,) = self.version.pool.workers
        for _ in range(3):
            self.process.exit(ECC)
            self.stage.turn()
        self.assertIs(worker.state, WorkerState.FAILED)
        text = str(self.version.pool.refusal())
        self.assertIn("GPU 0 is set aside: 3 device faults within 60 s, the last of", text)
        self.assertIn("GPU 1 is set aside: XID 79", text)
        self.assertRaises(NotEnoughDevices, self.stage.version(make_spec("b")).pool.scale, 1, 1)

    def test_sound_workers_leave_what_was_set_aside_and_their_jobs_with_them(self) -> None:
        self.scaled(2)
        (observer,) = self.ask(b"a")
        self.quarantine.examined(0, "XID 79")
        leave_device(self.version.pool.workers, 0, self.stage.providers)
        self.stage.turn()
        self.process.load()
        self.stage.turn()
        self.assertEqual([worker.spec.gpu_id for worker in self.version.pool.workers], [1, 1])
        for process in self.stage.backend.workers:
            while process.batches and not process.is_gone:
                process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_they_stay_where_there_is_no_other(self) -> None:
        self.scaled(2)
        for gpu in (0, 1):
            self.quarantine.examined(gpu, "XID 79")
        for gpu in (0, 1):
            leave_device(self.version.pool.workers, gpu, self.stage.providers)
        self.assertEqual(self.version.pool.ready, 2)
