"""Whether the server, or one model, can answer: liveness, health and readiness, for every front."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.core.registry import Registry
from modelserver.core.workers.pool import WorkerPool
from modelserver.core.workers.worker import Worker
from modelserver.inference.load_status import LoadStatus
from modelserver.language.attributes import frozen
from modelserver.spec import WorkerState


@frozen
class Health:
    """
    The workers of all models together.

    :param wanted: how many there are meant to be.
    :param running: how many have loaded their model, or are doing it for the first time.
    :param is_healthy: every default version has as many workers as it is meant to, or they may still come.
    """

    wanted: int
    running: int
    is_healthy: bool


@frozen
class Readiness:
    """
    Whether traffic may be sent to this server.

    :param unready: the names of the models that are meant to have workers and have none, sorted.
    :param is_stopping: the server is about to end.
    """

    unready: tuple[str, ...] = ()
    is_stopping: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether every model has a worker, and the server stays."""
        return not self.unready and not self.is_stopping


def health_of(registry: Registry) -> Health:
    """
    Count the workers of every version; only default versions decide whether the server is healthy.

    TorchServe's rule for a ping:
    https://github.com/pytorch/serve/blob/master/frontend/server/src/main/java/org/pytorch/serve/util/ApiUtils.java
    (``getWorkerStatus``). MMS compares the workers that run with those that are wanted. A worker runs there
    as soon as it is started: a server that has just started is healthy, one whose model cannot load is not.
    """
    wanted = running = 0
    is_healthy = True
    for version in registry.all():
        pool = version.pool
        least = version.bounds.minimum
        wanted += least
        running += sum(_is_running(worker) for worker in pool.workers)
        has_failed = pool.minimum > 0 and not pool.healthy
        if (pool.healthy < least or has_failed) and registry.is_default(version):
            is_healthy = False
    return Health(wanted, running, is_healthy)


def _is_running(worker: Worker) -> bool:
    state = worker.state
    return state is WorkerState.READY or (state is WorkerState.STARTING and worker.failure is None)


def unready_models(registry: Registry, load_status: LoadStatus | None = None) -> list[str]:
    """
    Return the models that are meant to have workers and have none that has loaded, sorted.

    :param load_status: names more models that are meant to be there.
    """
    unready = {
        name
        for name in registry.names()
        if any(_is_unready(version.pool) for version in registry.versions(name))
    }
    return sorted(unready.union(load_status.missing(registry) if load_status is not None else ()))


def _is_unready(pool: WorkerPool) -> bool:
    return pool.minimum > 0 and not pool.ready and not pool.is_on_call


def is_model_ready(registry: Registry, name: str, version: str | None = None) -> bool:
    """
    Return whether a version can be asked: a worker has loaded the model, or will on a request's call.

    :param version: None for the default one.
    :raises ModelNotFound: no model has this name.
    :raises VersionNotFound: the model has no such version.
    """
    pool = registry.get(name, version).pool
    return pool.ready > 0 or pool.is_on_call


@frozen(eq=False)
class ServerHealth:
    """
    Answers what load balancers and orchestrators ask about the whole server.

    :param load_status: which models of the start are still to come.
    :param is_stopping: whether the server is about to end; it is not ready then.
    """

    registry: Registry
    load_status: LoadStatus = field(factory=LoadStatus)
    is_stopping: Callable[[], bool] = lambda: False

    def is_live(self) -> bool:
        """Return whether the server runs: as long as it can answer, it does."""
        return True

    def readiness(self) -> Readiness:
        """Return whether every model that is meant to have workers has one, and which have none."""
        return Readiness(tuple(unready_models(self.registry, self.load_status)), self.is_stopping())

    def is_ready(self) -> bool:
        """
        Return whether all models can be asked, by the rule of a ping.

        This is ``ServerReady`` of the Open Inference Protocol; TorchServe answers it from its ping:
        https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
        """
        return health_of(self.registry).is_healthy and not self.is_stopping()
