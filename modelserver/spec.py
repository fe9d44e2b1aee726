"""What a version of a model is, and what is told about it: frozen values that every layer may read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path

from attrs import evolve, field

from modelserver.devices import Bank, GpuMemory, GpuUsage
from modelserver.dialect_rules import TORCHSERVE
from modelserver.language.attributes import frozen
from modelserver.version_settings.setting import Setting, SettingValues
from modelserver.version_settings.table import VERSION_SETTINGS, default_of
from modelserver.version_settings.values import (
    SEQUENCE_HEADERS,
    Autoscaling,
    Batching,
    DeviceSettings,
    Placement,
    QueueLimits,
    Sequences,
    Timeouts,
    Torchrun,
    WorkerLimits,
    WorkerRange,
    WorkerStart,
)


@frozen
class VersionSpec:
    """
    One deployed version of a model, complete: whatever was left open at registration is decided here.

    :param url: as given at registration.
    :param folder: the unpacked archive.
    :param manifest: ``MAR-INF/MANIFEST.json`` as it was read, or None.
    :param config: ``model-config.yaml`` as it was read, for the handler.
    :param client_timeout: seconds that a client waits that does not say so itself; 0: as long as it takes.
    :param torchrun: for a version whose workers are several processes, else None.
    :param workflow: the workflow that it is a node of, and comes and goes with, or None.
    :param archive_size: bytes of its archive, or of the files of its folder.
    :param pinned: it stays in memory when memory is short.
    :param given: the settings that the caller of the registration gave, and ``given_handler`` its handler.
    """

    name: str
    version: str
    url: str
    folder: Path
    handler: str
    runtime: str = "python"
    engine: str | None = None
    manifest: Mapping[str, object] | None = None
    config: Mapping[str, object] = field(factory=dict)
    envelope: str | None = None
    batching: Batching = field(factory=Batching)
    workers: WorkerRange = field(factory=WorkerRange)
    queue: QueueLimits = field(factory=QueueLimits)
    timeouts: Timeouts = field(factory=Timeouts)
    client_timeout: float = default_of("client_timeout")
    devices: DeviceSettings = field(factory=DeviceSettings)
    torchrun: Torchrun | None = None
    sequences: Sequences = field(factory=Sequences)
    start: WorkerStart = field(factory=WorkerStart)
    limits: WorkerLimits = field(factory=WorkerLimits)
    autoscaling: Autoscaling = field(factory=Autoscaling)
    placement: Placement = field(factory=Placement)
    loaded_at_startup: bool = False
    workflow: str | None = None
    archive_size: int = 0
    pinned: bool = default_of("pinned")
    given: SettingValues = field(factory=dict)
    given_handler: str | None = None

    def with_settings(
        self, values: SettingValues, table: Iterable[Setting] = VERSION_SETTINGS
    ) -> VersionSpec:
        """Return this version with other values of settings, each at the path that the table names."""
        parts: dict[str, dict[str, object]] = {}
        changes: dict[str, object] = {}
        for row in table:
            if row.name in values:
                part, _, attribute = row.path.rpartition(".")
                (parts.setdefault(part, {}) if part else changes)[attribute] = values[row.name]
        for part, attributes in parts.items():
            changes[part] = evolve(getattr(self, part), **attributes)
        return evolve(self, **changes)  # type: ignore[arg-type]  # the table's paths; a test compares types

    @property
    def mode(self) -> str:
        """
        How its workers take jobs: ``batches``, one after the other; ``continuous``, a set of live jobs that
        changes from turn to turn; ``concurrent``, batches side by side on the handler's event loop.
        Ranks that torchrun starts must all get the same batches.
        """
        if self.torchrun is not None:
            return "batches"
        if self.batching.continuous:
            return "continuous"
        return "concurrent" if self.batching.asynchronous and not self.sequences.enabled else "batches"


@frozen
class WorkerSettings:
    """
    What every worker of this server is told.

    :param dialect: ``torchserve`` or ``mms``: which names and rules the handler meets.
    :param sequence_headers: the names of the headers of sequences: id, start, end.
    :param hidden_variables: a pattern that names of environment variables must match to be hidden, or empty.
    :param torchrun_logs: where torchrun makes its folders.
    :param device_words: what ``CUDA_VISIBLE_DEVICES`` calls the server's GPUs, by their numbers.
    """

    dialect: str = TORCHSERVE.name
    decode_input_request: bool = True
    limit_max_image_pixels: bool = True
    max_response_size: int = 6553500
    hidden_variables: str = ""
    python: str | None = None
    metrics_config: str | None = None
    torchrun_logs: str = "logs/torchelastic_ts"
    device_words: tuple[str, ...] = ()
    sequence_headers: tuple[str, str, str] = SEQUENCE_HEADERS


@frozen
class WorkerSpec:
    """
    One worker of one version.

    :param id: as shown to clients ("9000"), never used again.
    :param gpu_id: the device the handler is told, or None for the CPU.
    :param visible_devices: the server's numbers of those that it sees alone, or None: it sees all.
    """

    version: VersionSpec
    id: str
    gpu_id: int | None = None
    visible_devices: tuple[int, ...] | None = None


DEVICE, SET_ASIDE = "device", "device set aside"
"""The causes of a worker's end whose process could use its GPU no more, or whose GPU is not to be used."""


@frozen
class WorkerFailure:
    """
    Why a worker ended or could not load.

    :param cause: ``exit``, ``signal``, ``load``, ``startup timeout``, ``response timeout``, ``protocol``,
        ``memory``, ``launch``, ``device``, ``silence`` (of its node) or ``node`` (it is gone).
    :param at: when, in seconds since the epoch.
    :param traceback: the last lines of the handler's traceback.
    :param stderr: the last lines that the worker wrote to stderr.
    :param permanent: starting again cannot help (an import error, say).
    :param device_code: CUDA's number of what befell the device, if it told one.
    """

    cause: str
    at: float
    exit_code: int | None = None
    signal: str | None = None
    exception: str | None = None
    text: str | None = None
    traceback: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    out_of_memory: bool = False
    permanent: bool = False
    device_code: int | None = None

    @property
    def is_blameless(self) -> bool:
        """Whether nothing speaks against starting the worker again at once."""
        return self.cause in (DEVICE, SET_ASIDE)

    @property
    def outline(self) -> str:
        """How it ended, without what the handler raised: that is where its traceback is."""
        how = ""
        if self.signal is not None:
            how = f"ended by {self.signal}"
        elif self.exit_code is not None:
            how = f"exited with code {self.exit_code}"
        cause = "" if how and self.cause in ("exit", "signal") else self.cause
        return ", ".join(filter(None, (cause, how, "out of memory" if self.out_of_memory else "")))

    def __str__(self) -> str:
        why = ": ".join(filter(None, (self.exception, self.text)))
        return f"{self.outline}, {why}" if why else self.outline


class WorkerState(Enum):
    """What a worker is doing: the states of ``core.workers.lifecycle``. The values are what metrics print."""

    STOPPED = "stopped"
    """Not launched yet, or gone for good."""
    STARTING = "starting"
    """The process runs, or is being launched; the model is not loaded."""
    READY = "ready"
    SUSPECT = "suspect"
    """Nothing is heard of its node: it gets no jobs, and those in hand are others' now."""
    DRAINING = "draining"
    """It gets no more batches and ends after those in hand."""
    STOPPING = "stopping"
    """Its process was asked to end for good."""
    DYING = "dying"
    """Its process is being killed because it was too slow; it will be started again."""
    WAITING = "waiting"
    """It has no process; the next one is started after a delay."""
    FAILED = "failed"
    """It is not started again by itself."""


@frozen
class ProcessMemory:
    """
    The memory of a process tree in bytes.

    :param resident: what is in memory; pages that its processes share count once for each.
    :param private: what no other process has, None where the kernel does not tell.
    :param shared: the rest, which a worker that was forked has in common with its template.
    """

    resident: int
    private: int | None = None
    shared: int | None = None


@frozen
class MemoryFigures:
    """
    What a version's next worker is expected to take, and what there is. All are bytes.

    :param limit: what all workers may take together of one memory.
    :param reserved: what is set aside for those that are there, or have been started.
    :param expected: for one more worker of the version; of a GPU that is one of several: its share there.
    :param is_seen: the largest worker of the version was measured so; else it is told from its archive.
    """

    limit: int
    reserved: int
    expected: int
    is_seen: bool


class Presence(Enum):
    """Where a model is that comes into memory when it is asked; the values are what a describe shows."""

    KNOWN = "known"
    """Its archive was looked at, and is not unpacked."""
    UNLOADED = "unloaded"
    """It is unpacked, and has no workers: it had to leave, or could not be loaded."""
    LOADING = "loading"
    LOADED = "loaded"


AWAY = frozenset((Presence.KNOWN, Presence.UNLOADED))
"""Where a model is that is not in memory, nor on its way."""


@frozen
class WorkerPlace:
    """
    Where a worker is that does not run on this machine.

    :param node: the node's name, and ``address`` its address; empty while it has none.
    :param group: what holds its share of the cluster (Ray's placement group).
    :param reason: why it is there, or why it is nowhere: what was asked, and what is free.
    :param pid: its process id on the node, None while there is none.
    :param memory: resident bytes of its process tree; ``gpu``: the load of its GPU, as the driver there says.
    """

    node: str = ""
    address: str = ""
    group: str = ""
    reason: str = ""
    pid: int | None = None
    memory: int = 0
    gpu: GpuUsage | None = None


@frozen
class WorkerDescription:
    """
    A worker as it is now.

    :param state: a dialect has its own words for it.
    :param started: when its process was launched, seconds since the epoch.
    :param memory: resident bytes of its whole process tree.
    :param private: bytes of them that nobody else has, None where unknown; ``shared``: that others have, too.
    :param threads: of computation that it was given (``OMP_NUM_THREADS``), None if it chooses itself.
    :param gpu_memory: what its process has of its GPUs' memory, None where nobody tells.
    :param restarts: how often it was started again.
    :param place: where it is, if that is another machine: ``pid`` is None then.
    """

    id: str
    state: WorkerState
    started: float
    pid: int | None = None
    memory: int = 0
    gpu_id: int | None = None
    gpu_usage: str | None = None
    restarts: int = 0
    failure: WorkerFailure | None = None
    private: int | None = None
    shared: int | None = None
    threads: int | None = None
    gpu_memory: GpuMemory | None = None
    place: WorkerPlace | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it has loaded the model."""
        return self.state is WorkerState.READY


@frozen
class ScaleDecision:
    """
    What the server has decided about the number of a version's workers.

    :param reason: one word for metrics.
    :param text: a sentence for people.
    :param at: when, in seconds since the epoch.
    """

    workers: int
    reason: str
    text: str
    at: float


@frozen
class ScalingDescription:
    """
    How the server decides the number of a version's workers, and what it has decided last.

    :param settings: those that hold now; the bounds are the workers of the described spec.
    :param wanted: the workers that there are to be.
    :param last: None before the first decision.
    """

    settings: Autoscaling
    wanted: int = 0
    last: ScaleDecision | None = None


@frozen
class VersionDescription:
    """
    A version and its workers as they are now.

    :param waiting: jobs in the queue, ``waiting_bytes`` the size of their bodies.
    :param in_flight: jobs that workers have in hand.
    :param batch_delay: seconds that a batch waits at present, where the server chooses.
    :param presence: see ``core.version.ModelVersion``.
    :param registered: how many workers it was registered with, which it gets when it is loaded.
    :param memory: what one more worker takes, and what there is; None: there is no limit.
    :param metadata: what the handler told for a customized describe, or None when it was not asked.
    :param template: the template process of the version (pid, memory), where there is one.
    :param scaling: None where the server never decided the number of workers.
    """

    spec: VersionSpec
    is_default: bool
    workers: tuple[WorkerDescription, ...]
    waiting: int = 0
    metadata: Mapping[str, object] | None = None
    template: WorkerDescription | None = None
    waiting_bytes: int = 0
    in_flight: int = 0
    batch_delay: float = 0.0
    scaling: ScalingDescription | None = None
    presence: Presence | None = None
    registered: WorkerRange = field(factory=WorkerRange)
    memory: Mapping[Bank, MemoryFigures] = field(factory=dict)

    @property
    def wanted_workers(self) -> int:
        """How many workers there are to be: as decided, or else as asked for."""
        if self.scaling is not None and self.scaling.settings.enabled:
            return self.scaling.wanted
        return min(max(len(self.workers), self.spec.workers.minimum), self.spec.workers.maximum)


@frozen
class ModelSummary:
    """One row of the list of models: its default version's URL, and where that is, if it comes and goes."""

    name: str
    url: str
    presence: Presence | None = None
