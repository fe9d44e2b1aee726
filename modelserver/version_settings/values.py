"""The settings of a version as the parts of its spec; the defaults are the table's."""

from __future__ import annotations

from modelserver.language.attributes import frozen
from modelserver.version_settings.setting import AUTO
from modelserver.version_settings.table import default_of

AUTO_DELAY = AUTO
"""A ``Batching.max_delay`` that the server chooses from moment to moment."""
SEQUENCE_HEADERS = ("ts_request_sequence_id", "ts_request_sequence_start", "ts_request_sequence_end")
"""The names that TorchServe gives to the headers of sequences: id, start, end."""


@frozen
class Timeouts:
    """
    How long each state of a worker may last, in seconds.

    :param load: how long a request may wait for workers where there were none.
    """

    startup: float = default_of("startup_timeout")
    response: float = default_of("response_timeout")
    recovery: float = default_of("recovery")
    grace: float = default_of("worker_grace")
    load: float = default_of("load_timeout")
    longest_backoff: float = 1597.0


@frozen
class Sequences:
    """
    How requests that belong together are kept together (TorchServe's stateful models). Durations are seconds.

    :param enabled: whether a request is one of a sequence.
    :param max_idle: how long a sequence may be without a request.
    :param timeout: how long a request may wait for its sequence; 0: no limit.
    :param max_jobs: requests of one sequence that may wait.
    :param max_sequences: sequences that the version may have at a time.
    :param id_header: the header that names a request's sequence.
    :param start_header: the header that tells a handler that the server has made the name.
    :param end_header: the header of an answer that ends the sequences which it names, separated by ``;``.
    """

    max_idle: float = default_of("sequence_max_idle")
    timeout: float = default_of("sequence_timeout")
    max_jobs: int = default_of("sequence_jobs")
    max_sequences: int = default_of("max_sequences")
    id_header: str = SEQUENCE_HEADERS[0]
    start_header: str = SEQUENCE_HEADERS[1]
    end_header: str = SEQUENCE_HEADERS[2]
    enabled: bool = default_of("stateful")


@frozen
class Batching:
    """
    How jobs become batches.

    :param size: the most jobs in a batch.
    :param max_delay: seconds that the oldest job may wait for others, or ``AUTO_DELAY``.
    :param continuous: a batch is a set of jobs that changes from turn to turn of the handler.
    :param asynchronous: batches are side by side on the handler's event loop.
    """

    size: int = default_of("batch_size")
    max_delay: float = default_of("max_batch_delay")
    continuous: bool = default_of("continuous_batching")
    asynchronous: bool = default_of("async_communication")


@frozen
class WorkerRange:
    """The least and the most workers of a version."""

    minimum: int = default_of("min_workers")
    maximum: int = default_of("max_workers")


@frozen
class QueueLimits:
    """
    What may wait for a version.

    :param size: bytes of bodies; 0: any number.
    :param tickets: a job is taken only if a worker is idle for it.
    """

    jobs: int = default_of("job_queue_size")
    size: int = default_of("job_queue_bytes")
    tickets: bool = default_of("job_tickets")


@frozen
class DeviceSettings:
    """
    Where a version's workers run.

    :param type: ``cpu``, ``gpu``, or empty for a GPU where there is one.
    :param ids: the GPUs that the version may use; empty means all.
    :param parallel_type: ``pp``, ``tp``, ``pptp``, ``custom``, or empty.
    :param parallel_level: GPUs of each worker; 0 without a parallel type.
    """

    type: str = default_of("device_type")
    ids: tuple[int, ...] = default_of("device_ids")
    parallel_type: str = default_of("parallel_type")
    parallel_level: int = default_of("parallel_level")


@frozen
class WorkerStart:
    """
    How a version's workers start.

    :param method: ``spawn`` or ``template``.
    :param preload: what the template holds: ``libraries``, ``imports`` or ``model``.
    :param use_venv: workers have a virtual environment of their own.
    :param python: the interpreter of that environment, or None.
    :param search_path: folders before the others in Python's path.
    """

    method: str = "spawn"
    preload: str = default_of("preload")
    use_venv: bool = default_of("use_venv")
    python: str | None = None
    search_path: tuple[str, ...] = ()


@frozen
class WorkerLimits:
    """
    When workers are replaced, and what becomes of their jobs.

    :param retries: how often a job is tried again when its worker dies.
    :param requests: after how many requests a worker is replaced; 0: never.
    :param memory: resident bytes at which a worker is ended; 0: no limit.
    """

    retries: int = default_of("retry_on_worker_death")
    requests: int = default_of("max_requests_per_worker")
    memory: int = default_of("worker_memory_limit")


@frozen
class Autoscaling:
    """
    Whether and how the server decides how many workers a version has.

    :param queue_time: seconds that 9 of 10 requests shall wait at most for a worker.
    :param idle_timeout: seconds without a request after which the last worker goes, if there may be none.
    :param down_delay: seconds for which fewer workers must have been enough before one goes.
    :param keep_template: the template process stays where the last worker has gone.
    """

    enabled: bool = default_of("autoscale")
    queue_time: float = default_of("target_queue_time")
    idle_timeout: float = default_of("idle_timeout")
    down_delay: float = default_of("scale_down_delay")
    keep_template: bool = default_of("keep_template")


@frozen
class Placement:
    """
    Where a version's workers run.

    :param where: ``local``, ``ray``, or ``auto``: on this machine while it has room.
    :param resources: what the cluster holds for each worker: ``CPU``, ``GPU`` and others by their names.
    :param strategy: ``spread`` over the nodes, or ``pack`` on few.
    """

    where: str = default_of("placement")
    resources: tuple[tuple[str, float], ...] = default_of("resources")
    strategy: str = default_of("placement_strategy")

    @property
    def is_elsewhere(self) -> bool:
        """Whether no worker is on this machine, unless the cluster puts it there."""
        return self.where == "ray"

    @property
    def amounts(self) -> dict[str, float]:
        """The resources by their names: a processor where nobody has said what."""
        return dict(self.resources) or {"CPU": 1.0}


@frozen
class Torchrun:
    """
    How the ranks of a parallel worker are started by ``torch.distributed.run``; its options, in our words.

    :param ranks: processes of each worker on this machine.
    :param rdzv_endpoint: where nodes meet; empty: a free port of this machine.
    :param rdzv_conf: ``key=value`` pairs with commas between.
    :param monitor_interval: seconds between two looks at the ranks.
    :param master_port: 0: torchrun's own choice.
    :param threads: ``OMP_NUM_THREADS`` of each rank.
    """

    ranks: int = 1
    nodes: int = 1
    node_rank: int = 0
    rdzv_backend: str = "c10d"
    rdzv_endpoint: str = ""
    rdzv_conf: str = ""
    monitor_interval: float = 5.0
    master_addr: str = ""
    master_port: int = 0
    threads: int = 1
