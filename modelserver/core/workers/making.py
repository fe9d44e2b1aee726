"""Makes the workers of one pool, each with its devices."""

from __future__ import annotations

from modelserver.core.providers import CoreProviders
from modelserver.core.workers.in_flight import MakeInFlight
from modelserver.core.workers.placement import give_place_back, place_worker
from modelserver.core.workers.worker import Worker, WorkerOwner
from modelserver.errors import NotEnoughDevices
from modelserver.language.attributes import frozen
from modelserver.spec import VersionSpec


@frozen(eq=False)
class WorkerMaker:
    """
    Makes workers that are not started.

    :param workers: those of the pool, to which ``add`` adds.
    """

    owner: WorkerOwner
    providers: CoreProviders
    make_in_flight: MakeInFlight
    workers: list[Worker]

    def add(self, spec: VersionSpec, count: int, gpu_workers: int | None) -> list[Worker]:
        """
        Add workers to the pool, and return them; where one cannot have its devices, add none.

        :param gpu_workers: how many of the pool's get a GPU; None: as the version's settings say.
        :raises NotEnoughDevices: a worker needs more GPUs than there are.
        """
        present = len(self.workers)
        try:
            for _ in range(count):
                self.workers.append(self.make(spec, gpu_workers))
        except NotEnoughDevices:
            for worker in self.workers[present:]:
                give_place_back(worker.spec, self.providers)
            del self.workers[present:]
            raise
        return self.workers[present:]

    def make(self, spec: VersionSpec, gpu_workers: int | None = None) -> Worker:
        """
        Make a worker that belongs to nobody yet.

        :param gpu_workers: as for ``add``.
        :raises NotEnoughDevices: it needs more GPUs than there are.
        """
        on_gpus = sum(worker.spec.gpu_id is not None for worker in self.workers)
        is_cpu = gpu_workers is not None and on_gpus >= gpu_workers
        return Worker(
            spec=place_worker(spec, self.providers, is_cpu),
            timeouts=spec.timeouts,
            owner=self.owner,
            backend=self.providers.backend,
            clock=self.providers.clock,
            now=self.providers.now,
            make_in_flight=self.make_in_flight,
            processor_time=self.providers.processor_time,
            tracer=self.providers.tracer,
        )
