"""What a worker finds in its environment."""

from __future__ import annotations

from unittest import TestCase

from attrs import evolve

from modelserver.backends.local import ALLOCATION, worker_environment
from modelserver.spec import WorkerSettings, WorkerSpec
from modelserver.system.threads import COUNTS, WAITING, ProcessorShare
from modelserver.testing.providers import make_spec

SPEC = WorkerSpec(make_spec(), "9000")


class WorkerEnvironmentTests(TestCase):
    """From the server's environment to a worker's."""

    def test_hidden_names_are_left_out(self) -> None:
        settings = WorkerSettings(hidden_variables="AWS_.*")
        found = worker_environment(SPEC, settings, {"AWS_SECRET": "x", "MY_AWS_": "y"})
        self.assertNotIn("AWS_SECRET", found)
        self.assertEqual("y", found["MY_AWS_"])

    def test_memory_of_a_batch_is_kept_for_the_next(self) -> None:
        found = worker_environment(SPEC, WorkerSettings(), {"A": "b"})
        self.assertEqual("b", found["A"])
        self.assertLessEqual(ALLOCATION.items(), found.items())

    def test_allocation_that_somebody_has_chosen_stays(self) -> None:
        for chosen in ({"MALLOC_ARENA_MAX": "1"}, {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}):
            found = worker_environment(SPEC, WorkerSettings(), chosen)
            self.assertLessEqual(chosen.items(), found.items())
            self.assertFalse(ALLOCATION.keys() & found.keys())

    def test_share_of_the_processors(self) -> None:
        for dialect in ("torchserve", "mms"):
            settings = WorkerSettings(dialect=dialect)
            found = worker_environment(SPEC, settings, {}, ProcessorShare(4, 2))
            self.assertEqual({found[name] for name in COUNTS}, {"2"})
            self.assertNotIn(WAITING, found)
            chosen = worker_environment(SPEC, settings, {"OMP_NUM_THREADS": "3"}, ProcessorShare(4, 2))
            self.assertEqual((chosen["OMP_NUM_THREADS"], chosen[WAITING]), ("3", "passive"))
            alone = worker_environment(SPEC, settings, {})
            self.assertFalse({*COUNTS, WAITING} & alone.keys())

    def test_devices_are_called_as_the_machine_calls_them(self) -> None:
        spec = evolve(SPEC, gpu_id=0, visible_devices=(1, 0))
        inherited = {"CUDA_VISIBLE_DEVICES": "3,MIG-7"}
        found = worker_environment(spec, WorkerSettings(device_words=("3", "MIG-7")), inherited)
        self.assertEqual(found["CUDA_VISIBLE_DEVICES"], "MIG-7,3")
        self.assertEqual(worker_environment(spec, WorkerSettings(), {})["CUDA_VISIBLE_DEVICES"], "1,0")
        self.assertEqual(
            worker_environment(SPEC, WorkerSettings(), inherited)["CUDA_VISIBLE_DEVICES"], "3,MIG-7"
        )
