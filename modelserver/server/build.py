"""Builds what decides in a server, from its settings: models, workers, use cases. No socket, no process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.posixbase import PosixReactorBase

from modelserver.archive.unpack import UnpackLimits
from modelserver.autoscale.controller import Autoscaler
from modelserver.backends.local import LocalBackend
from modelserver.backends.output_limits import OutputLimits
from modelserver.backends.process import HostServices
from modelserver.backends.template import TemplateBackend
from modelserver.backends.torchrun import TorchrunBackend
from modelserver.config.settings import Settings
from modelserver.core.gpus import Devices
from modelserver.core.ids import Entropy, WorkerNumbers, ids_from
from modelserver.core.memory_budget import MemoryBudget
from modelserver.core.providers import CoreProviders
from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.core.workers.busy_poll import TURNS
from modelserver.dialect_rules import DIALECTS, MMS, TORCHSERVE
from modelserver.execution.payloads import PayloadStore
from modelserver.execution.run import RunServices
from modelserver.inference.predict import Inference
from modelserver.inference.workflows import WorkflowInference
from modelserver.interfaces import Dialect, Recorder, WorkerBackend
from modelserver.language.attributes import frozen
from modelserver.management.dependencies import Dependencies, DependencyRules
from modelserver.management.descriptions import Observer, describe_version
from modelserver.management.draining import Draining
from modelserver.management.handler_metadata import HandlerMetadata
from modelserver.management.loading import LoadOnRequest
from modelserver.management.memory.watch import MemoryWatch
from modelserver.management.memory_limits import MemoryLimits
from modelserver.management.registration import VersionPreparer
from modelserver.management.rules import ManagementRules
from modelserver.management.service import Management
from modelserver.management.snapshots.writer import Snapshots
from modelserver.management.workflows.service import WorkflowManagement, needed_by
from modelserver.metrics.node_metrics import Nodes
from modelserver.metrics.process_memory import tree_memories, tree_memories_apart
from modelserver.metrics.scrape_readings import ScrapeReadings
from modelserver.protocol.frames import ID_SIZE
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.security.key_file import KEY_FILE
from modelserver.security.refusals import Refusals
from modelserver.security.tokens import Tokens
from modelserver.server.dashboard import Dashboard, is_dashboard_served, make_dashboard
from modelserver.server.gpu_health import GpuHealth, make_devices
from modelserver.server.idle_memory import IdleMemory
from modelserver.server.memory import make_memory, residents, watch_memory
from modelserver.server.resources import Resources, Runtime
from modelserver.server.sources import make_sources
from modelserver.server.telemetry import Telemetry, make_recorder, open_logs
from modelserver.server.tracing import Tracing, make_tracing, trace_id_of
from modelserver.server.workflows import make_workflow_management
from modelserver.system.cpus import processor_share, usable_processors
from modelserver.system.exit_descriptor import has_pidfd
from modelserver.system.oom_kills import OomDetector, find_counter
from modelserver.system.process_stat import processor_seconds
from modelserver.system.run_folders import RunFolders
from modelserver.system.threads import ProcessorShare
from modelserver.traces import Tracer
from modelserver.workflows.registry import WorkflowRegistry

if TYPE_CHECKING:
    from modelserver.backends.ray.choice import ChosenPlace


@frozen(eq=False, kw_only=True)
class Core:
    """
    The parts of a server that everything else hangs on.

    :param memory_watch: measures workers for the budget of their memory; None: there is none.
    :param loading: loads models when they are asked.
    :param slots: memory that is shared with workers, or None.
    :param tokens: the keys of the server, or None where requests need none.
    :param refusals: counts requests that come without a key, or from pages of other origins.
    :param workflows: runs workflows.
    :param workflow_management: registers them.
    :param snapshots: None where they are switched off.
    :param tracing: likewise.
    :param tracing_warnings: what is to be told of it at the start.
    :param dashboard: None where there is none.
    :param cluster: where workers may run besides this machine, or None.
    """

    settings: Settings
    runtime: Runtime
    registry: Registry
    management: Management
    inference: Inference
    workflows: WorkflowInference
    dialect: Dialect
    telemetry: Telemetry
    autoscaler: Autoscaler
    draining: Draining
    memory_limits: MemoryLimits
    idle_memory: IdleMemory
    gpu_health: GpuHealth
    memory_watch: MemoryWatch | None
    loading: LoadOnRequest
    slots: SharedMemoryPool | None
    tokens: Tokens | None
    refusals: Refusals
    snapshots: Snapshots | None
    workflow_management: WorkflowManagement
    tracing: Tracing | None
    tracing_warnings: tuple[str, ...]
    dashboard: Dashboard | None
    cluster: ChosenPlace | None


def build_core(
    settings: Settings,
    reactor: PosixReactorBase,
    resources: Resources,
    environment: Mapping[str, str],
    to_console: bool = False,
) -> Core:
    """
    Make everything that decides.

    :param environment: the environment variables that workers inherit.
    :param to_console: log lines go to standard output, too.
    """
    runtime = Runtime.of(settings, reactor, environment)
    registry = Registry()
    tracing, tracing_warnings = make_tracing(settings, reactor, environment)
    tracer = None if tracing is None else tracing.tracer
    telemetry = _make_telemetry(settings, runtime, registry, to_console, tracing)
    snapshots = _make_snapshots(settings, runtime, registry) if settings.snapshots else None
    changed = _nothing_to_write if snapshots is None else snapshots.changed
    devices = make_devices(runtime)
    memory = make_memory(settings, registry, devices, runtime.inventory, reactor.seconds)
    backend, cluster = _make_backend(settings, runtime, resources, registry)
    providers = _make_providers(settings, runtime, devices, backend, telemetry.recorder, tracer, memory)
    inference = _make_inference(runtime, registry, telemetry.recorder, tracer)
    workflows = _make_workflow_inference(settings, inference, resources)
    management = _make_management(settings, runtime, resources, providers, workflows, changed=changed)
    autoscaler = Autoscaler(providers, registry.has_version, management.resize)
    management.follow = autoscaler.follow
    loading = LoadOnRequest(management, reactor.seconds, settings.memory_shortage == "wait")
    nodes = Nodes if cluster is None else cluster.nodes
    telemetry.recorder.read_at_scrape = lambda: ScrapeReadings(
        residents(memory, loading), nodes(), devices.aside()
    )
    workflow_management = make_workflow_management(settings, runtime, resources, workflows, management)
    if snapshots is not None:
        snapshots.workflows = workflow_management.registered
    return Core(
        settings=settings,
        runtime=runtime,
        registry=registry,
        management=management,
        inference=inference,
        dialect=_make_dialect(settings, trace_id_of(tracing)),
        telemetry=telemetry,
        autoscaler=autoscaler,
        draining=Draining(registry, reactor, workflows),
        memory_limits=MemoryLimits(registry, tree_memories, runtime.threads.samples, reactor),
        idle_memory=IdleMemory(runtime.reactor, runtime.threads.files, time.process_time, resources.slots),
        gpu_health=GpuHealth(reactor, runtime.threads.samples, runtime.inventory, registry, providers),
        memory_watch=watch_memory(memory, loading, runtime),
        loading=loading,
        slots=resources.slots,
        tokens=_make_tokens(settings, runtime),
        refusals=Refusals(reactor, telemetry.recorder),
        snapshots=snapshots,
        workflows=workflows,
        workflow_management=workflow_management,
        tracing=tracing,
        tracing_warnings=tracing_warnings,
        dashboard=_make_dashboard(settings, runtime, registry, inference, telemetry),
        cluster=cluster,
    )


def _make_dashboard(
    settings: Settings, runtime: Runtime, registry: Registry, inference: Inference, telemetry: Telemetry
) -> Dashboard | None:
    if not is_dashboard_served(settings, _has_tokens(settings)):
        return None
    return make_dashboard(settings, runtime, registry, inference, telemetry.recorder)


def _make_telemetry(
    settings: Settings, runtime: Runtime, registry: Registry, to_console: bool, tracing: Tracing | None
) -> Telemetry:
    logs = open_logs(settings, runtime.reactor, to_console, trace_id_of(tracing))
    recorder = make_recorder(settings, registry, logs, dict if tracing is None else tracing.counts)
    if tracing is not None:
        tracing.tracer.traced = recorder.traced
    return Telemetry(settings=settings, runtime=runtime, registry=registry, logs=logs, recorder=recorder)


def _make_providers(
    settings: Settings,
    runtime: Runtime,
    devices: Devices,
    backend: WorkerBackend,
    recorder: Recorder,
    tracer: Tracer | None,
    memory: MemoryBudget | None,
) -> CoreProviders:
    stays_awake = runtime.loop is not None and usable_processors() > 1
    numbers = WorkerNumbers(settings.initial_worker_port, settings.initial_distribution_port)
    return CoreProviders(
        backend=backend,
        devices=devices,
        clock=runtime.reactor,
        now=time.time,
        next_worker_id=numbers.take,
        call_soon=runtime.events.call_soon,
        recorder=recorder,
        processor_time=processor_seconds,
        random=Random().random,
        awake_turns=TURNS if stays_awake else 0,
        tracer=tracer,
        memory=memory,
    )


def _make_backend(
    settings: Settings, runtime: Runtime, resources: Resources, registry: Registry
) -> tuple[WorkerBackend, ChosenPlace | None]:
    """Return where workers run; where that may be elsewhere, also what has to be closed at the end."""
    processors = min(usable_processors(), processor_share())

    def share() -> ProcessorShare:
        return ProcessorShare(processors, sum(len(version.pool.workers) for version in registry.all()))

    services = HostServices(
        spawner=runtime.spawner,
        loop=runtime.events,
        clock=runtime.reactor,
        lifeline=resources.lifeline[0],
        environment=runtime.environment,
        now=time.time,
        slots=resources.slots,
        take_oom_kills=OomDetector(find_counter()).take_new_kills,
        orphans=runtime.orphans,
        output=OutputLimits(
            longest_line=settings.max_log_line, lines=settings.max_log_lines, size=settings.max_log_bytes
        ),
        share=share,
    )
    words = tuple(gpu.word for gpu in runtime.gpus)
    local = LocalBackend(services, evolve(settings.worker_settings(), device_words=words))
    here = TorchrunBackend(TemplateBackend(local), local)
    if settings.ray_address is None:
        return here, None
    from modelserver.server.cluster import make_chosen_place, room_here

    has_room = room_here(registry, processors)
    private, in_thread = resources.folders.private, runtime.threads.archives
    place = make_chosen_place(settings, services, here, private, in_thread, has_room)
    return place, place


def _make_management(
    settings: Settings,
    runtime: Runtime,
    resources: Resources,
    providers: CoreProviders,
    workflows: WorkflowInference,
    *,
    changed: Callable[[], Deferred[None]],
) -> Management:
    registry = workflows.inference.registry
    return Management(
        registry=registry,
        preparer=_make_preparer(settings, runtime, resources.folders),
        providers=providers,
        observer=Observer(tree_memories_apart, runtime.inventory, runtime.threads.samples),
        handler_metadata=HandlerMetadata(runtime.reactor, os.urandom),
        rules=ManagementRules(
            settings.unregister_model_timeout,
            one_version=not DIALECTS[settings.dialect].has_versions,
            most_workers=settings.most_workers(usable_processors()),
            usual_ceiling=usable_processors(),
        ),
        changed=changed,
        needed_by=partial(needed_by, workflows.registry, registry),
    )


def _make_inference(
    runtime: Runtime, registry: Registry, recorder: Recorder, tracer: Tracer | None
) -> Inference:
    return Inference(
        registry=registry,
        deadlines=Deadlines(runtime.reactor),
        clock=runtime.reactor,
        recorder=recorder,
        entropy=Entropy(os.urandom).take,
        tracer=tracer,
        new_id=ids_from(os.urandom, ID_SIZE),
    )


def _make_workflow_inference(
    settings: Settings, inference: Inference, resources: Resources
) -> WorkflowInference:
    services = RunServices(
        enqueue=inference.enqueue,
        store=PayloadStore(resources.slots),
        clock=inference.clock,
        recorder=inference.recorder,
        is_strict=settings.workflow_strict_compat,
    )
    return WorkflowInference(WorkflowRegistry(), inference, services)


def _make_preparer(settings: Settings, runtime: Runtime, folders: RunFolders) -> VersionPreparer:
    return VersionPreparer(
        sources=make_sources(settings, runtime, settings.model_store),
        in_thread=runtime.threads.archives,
        folder=folders.models,
        new_name=lambda: folders.token + uuid4().hex[:16],
        rules=settings.manifest_rules(),
        defaults=settings.version_defaults(runtime.gpu_count, usable_processors(), has_pidfd()),
        models=settings.models,
        limits=UnpackLimits(settings.max_unpacked_size, settings.max_archive_entries),
        dependencies=_make_dependencies(settings, runtime, folders.private),
    )


def _make_dependencies(settings: Settings, runtime: Runtime, folder: Path) -> Dependencies:
    rules = DependencyRules(
        folder=settings.requirements_cache or folder / "environments",
        python=str(settings.worker_python or sys.executable),
        environment=runtime.program_environment,
        is_on=settings.install_py_dep_per_model,
        allow_options=settings.allow_requirements_options,
        timeout=settings.requirements_timeout,
    )
    return Dependencies(rules, runtime.commands, runtime.threads.archives)


def _make_dialect(settings: Settings, trace_id: Callable[[], str]) -> Dialect:
    kinds: Mapping[str, Callable[[bool, bool, int, Callable[[], str]], Dialect]] = {
        TORCHSERVE.name: TorchServe,
        MMS.name: MultiModelServer,
    }
    exposed = settings.expose_errors
    of_predictions = exposed if exposed is not None else not _has_tokens(settings)
    return kinds[settings.dialect](of_predictions, exposed is not False, settings.overload_status, trace_id)


def _has_tokens(settings: Settings) -> bool:
    return DIALECTS[settings.dialect].has_tokens and not settings.disable_token_authorization


def _make_tokens(settings: Settings, runtime: Runtime) -> Tokens | None:
    if not _has_tokens(settings):
        return None
    return Tokens(
        file=Path.cwd() / KEY_FILE,
        given=settings.token_file,
        lifetime=settings.token_expiration,
        now=time.time,
        seconds=runtime.reactor.seconds,
        entropy=os.urandom,
        in_thread=runtime.threads.files,
    )


def _make_snapshots(settings: Settings, runtime: Runtime, registry: Registry) -> Snapshots:
    return Snapshots(
        folder=settings.snapshot_folder,
        properties=settings.properties,
        versions=lambda: [describe_version(each, registry.is_default(each)) for each in registry.all()],
        now=time.time,
        in_thread=runtime.threads.files,
        run_soon=runtime.events.call_soon,
        kept=settings.snapshots_kept,
        source=settings.config_file,
    )


def _nothing_to_write() -> Deferred[None]:
    """Stand in for ``Snapshots.changed`` where snapshots are switched off."""
    return succeed(None)
