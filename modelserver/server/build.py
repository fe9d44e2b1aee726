"""Builds every object of a server from its settings, and hands them to each other."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import cast
from uuid import uuid4

from attrs import define, frozen
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.iweb import IPolicyForHTTPS

from modelserver.archive.unpack import Limits as UnpackLimits
from modelserver.backends.commands import Commands
from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.local import LocalBackend
from modelserver.backends.process import HostServices
from modelserver.backends.template import TemplateBackend
from modelserver.backends.torchrun import TorchrunBackend
from modelserver.config.settings import Settings
from modelserver.core.entropy import Entropy
from modelserver.core.gpus import Devices
from modelserver.core.ids import WorkerNumbers
from modelserver.core.providers import CoreProviders
from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.core.workers.busy_poll import TURNS
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.site import ChannelSite
from modelserver.http1.states import ConnectionLimits
from modelserver.inference.predict import Inference
from modelserver.interfaces import CommandRunner, Dialect, EventLoop, InThread
from modelserver.management.dependencies import Dependencies, DependencyRules
from modelserver.management.descriptions import Observer, describe_version
from modelserver.management.draining import Draining
from modelserver.management.handler_metadata import HandlerMetadata
from modelserver.management.memory_limits import MemoryLimits
from modelserver.management.registration import VersionPreparer
from modelserver.management.service import Management, ManagementRules
from modelserver.management.snapshots.writer import Snapshots
from modelserver.metrics.host_sampler import tree_memories
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.api import Api
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from modelserver.rest.inference.handlers import InferenceApi
from modelserver.rest.management.handlers import ManagementApi
from modelserver.rest.management.tokens import TokenApi
from modelserver.rest.metrics import MetricsApi
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import MODEL_CONTROL, OPEN_INFERENCE, TOKENS, ListenerRole
from modelserver.rest.routes import select
from modelserver.security.authorization import AllowAll, Authorizer, TokenAuthorizer
from modelserver.security.key_file import KEY_FILE
from modelserver.security.tokens import Tokens
from modelserver.server.telemetry import Telemetry, make_instruments, open_logs
from modelserver.sources.download import Downloader, DownloadLimits
from modelserver.sources.http import HttpSource
from modelserver.sources.pinned_agent import pinned_agent
from modelserver.sources.router import Sources
from modelserver.sources.s3 import S3Source
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy
from modelserver.system.cpus import usable_processors
from modelserver.system.gpus import NvidiaInventory, load_library
from modelserver.system.oom_kills import OomDetector, find_counter

_log = Logger()


@define(eq=False)
class Resources:
    """
    What a server takes from the system and must give back.

    :param folder: where archives are unpacked.
    :param lifeline: a pipe; workers end when its write end closes.
    :param slots: memory that is shared with workers, or None.
    """

    folder: Path
    lifeline: tuple[int, int]
    slots: SharedMemoryPool | None

    @classmethod
    def take(cls, settings: Settings) -> Resources:
        """Make a folder of our own, a pipe whose write end nobody else has, and memory to share."""
        folder = Path(tempfile.mkdtemp(prefix="modelserver-", dir=settings.temporary_folder))
        return cls(folder, os.pipe(), SharedMemoryPool.open(settings.max_request_size))

    def give_back(self) -> None:
        """Remove the folder, close the pipe and the memory."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.slots is not None:
            self.slots.close()
        for end in self.lifeline:
            os.close(end)


@frozen(eq=False)
class Core:
    """The parts of a server that everything else hangs on."""

    settings: Settings
    registry: Registry
    management: Management
    inference: Inference
    dialect: Dialect
    observation: Telemetry
    run_soon: Callable[[Callable[[], None]], object]
    clock: PosixReactorBase
    loop: asyncio.AbstractEventLoop | None
    slots: SharedMemoryPool | None
    draining: Draining
    memory_limits: MemoryLimits
    body_memory: BodyMemory
    tokens: Tokens | None = None
    snapshots: Snapshots | None = None

    @property
    def gate(self) -> Authorizer:
        """Who may do what."""
        return AllowAll() if self.tokens is None else TokenAuthorizer(self.tokens)

    def api(self, roles: Collection[ListenerRole], connections: ConnectionLimits) -> ChannelSite:
        """The site of one port, for the roles that it has."""
        features = [
            name
            for name, is_on in (
                (OPEN_INFERENCE, self.settings.open_inference_protocol),
                (MODEL_CONTROL, self.settings.enable_model_api or self.settings.dialect == "mms"),
                (TOKENS, self.tokens is not None),
            )
            if is_on
        ]
        routes = select(roles, self.dialect.name, features)
        responder = KleinResponder(self.dialect, _new_uuid, _cors(self.settings))
        front = self._front(ListenerRole.INFERENCE in roles)
        handlers = {
            **ManagementApi(
                self.management,
                responder,
                routes,
                self.settings.max_request_size,
                self.settings.strict_parameters,
            ).operations(),
            **InferenceApi(
                front, self.registry, responder, routes, self.inference.start_up, lambda: self.draining.begun
            ).operations(),
            **MetricsApi(self.observation.instruments.pieces, responder, self.run_soon).operations(),
            **({} if self.tokens is None else TokenApi(self.tokens, responder).operations()),
        }
        app = Api(routes, handlers, self.gate, responder, self.settings.strict_parameters)
        return ChannelSite(app.resource(), front, self.run_soon, connections, _log_failure, self.body_memory)

    def _front(self, serves_plain: bool) -> InferenceEndpoint:
        lines = b"".join(b"%b: %b\r\n" % header for header in _cors(self.settings))
        return InferenceEndpoint(
            self.inference,
            self.registry,
            self.dialect,
            self.observation.instruments,
            self.observation.logs.access,
            self.gate,
            self.clock,
            Entropy(os.urandom),
            InferenceSettings(self.settings.max_request_size, lines, serves_plain),
            self.slots,
        )


def build_core(
    settings: Settings,
    reactor: PosixReactorBase,
    resources: Resources,
    environment: Mapping[str, str],
    to_console: bool = False,
) -> Core:
    """Make everything that decides, without a socket or a process."""
    loop: asyncio.AbstractEventLoop | None = getattr(reactor, "_asyncioEventloop", None)
    events: EventLoop = loop or ReactorLoop(cast(IReactorFDSet, reactor), reactor)
    inventory = NvidiaInventory(load_library(), environment)
    detected = len(inventory.gpus())
    gpus = detected if settings.number_of_gpu is None else min(settings.number_of_gpu, detected)
    registry = Registry()
    logs = open_logs(settings, reactor, to_console)
    recorder = make_instruments(settings, registry, logs)
    verdict = OomDetector(find_counter())
    machine = HostServices(
        reactor,
        events,
        reactor,
        resources.lifeline[0],
        environment,
        time.time,
        resources.slots,
        verdict.was_out_of_memory,
    )
    local = LocalBackend(machine, settings.worker_settings())
    numbers = WorkerNumbers(settings.initial_worker_port, settings.initial_distribution_port)
    surroundings = CoreProviders(
        TorchrunBackend(TemplateBackend(local), local),
        Devices(gpus),
        reactor,
        time.time,
        numbers.take,
        events.call_soon,
        recorder,
        Random().random,
        TURNS if loop is not None and usable_processors() > 1 else 0,
    )
    in_thread: InThread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    commands = Commands(reactor, events, reactor)
    visible = _visible(settings, environment)
    dependencies = _dependencies(settings, resources.folder, in_thread, visible, commands)
    management = Management(
        registry,
        _preparation(settings, reactor, resources.folder, in_thread, environment, gpus, dependencies),
        surroundings,
        Observer(tree_memories, inventory, in_thread),
        HandlerMetadata(reactor, os.urandom),
        ManagementRules(settings.unregister_model_timeout, settings.dialect == "mms"),
    )
    inference = Inference(registry, Deadlines(reactor), reactor, recorder, Entropy(os.urandom))
    kind = MultiModelServer if settings.dialect == "mms" else TorchServe
    dialect = kind(settings.expose_errors, settings.overload_status)
    return Core(
        settings,
        registry,
        management,
        inference,
        dialect,
        Telemetry(settings, reactor, logs, recorder, registry, inventory, in_thread, commands, visible),
        events.call_soon,
        reactor,
        loop,
        resources.slots,
        Draining(registry, reactor),
        MemoryLimits(registry, tree_memories, in_thread, reactor),
        BodyMemory(settings.request_memory),
        _tokens(settings, in_thread),
        _snapshots(settings, management, in_thread, events.call_soon),
    )


def _snapshots(
    settings: Settings,
    management: Management,
    in_thread: InThread,
    run_soon: Callable[[Callable[[], None]], object],
) -> Snapshots | None:
    if not settings.snapshots:
        return None
    registry = management.registry
    snapshots = Snapshots(
        settings.snapshot_folder,
        settings.properties,
        lambda: [describe_version(each, registry.is_default(each)) for each in registry.all()],
        time.time,
        in_thread,
        run_soon,
    )
    management.changed = snapshots.changed
    return snapshots


def _tokens(settings: Settings, in_thread: InThread) -> Tokens | None:
    if settings.disable_token_authorization or settings.dialect == "mms":
        return None
    file = Path.cwd() / KEY_FILE
    return Tokens(file, settings.token_file, settings.token_expiration, time.time, os.urandom, in_thread)


def _preparation(
    settings: Settings,
    reactor: PosixReactorBase,
    folder: Path,
    in_thread: InThread,
    environment: Mapping[str, str],
    gpus: int,
    dependencies: Dependencies,
) -> VersionPreparer:
    policy = UrlPolicy.parse(",".join(settings.allowed_urls) or None)
    agent = pinned_agent(reactor, reactor.nameResolver, policy.allows_address, _browser_policy())
    limits = DownloadLimits(settings.max_download_size, settings.download_timeout)
    http = HttpSource(
        settings.model_store, policy, Downloader(agent, reactor, in_thread, policy, limits), in_thread
    )
    sources = Sources(
        StoreSource(settings.model_store, in_thread), http, S3Source(http, environment), policy, in_thread
    )
    return VersionPreparer(
        sources,
        in_thread,
        folder,
        lambda: uuid4().hex,
        settings.manifest_rules(),
        settings.version_defaults(gpus, usable_processors(), hasattr(os, "pidfd_open")),
        settings.models,
        UnpackLimits(settings.max_unpacked_size, settings.max_archive_entries),
        dependencies,
    )


def _visible(settings: Settings, environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of programs that this server runs."""
    hidden = re.compile(settings.blacklist_env_vars or "(?!)")
    return {name: value for name, value in environment.items() if not hidden.fullmatch(name)}


def _dependencies(
    settings: Settings,
    folder: Path,
    in_thread: InThread,
    environment: Mapping[str, str],
    commands: CommandRunner,
) -> Dependencies:
    rules = DependencyRules(
        settings.requirements_cache or folder / "environments",
        str(settings.worker_python or sys.executable),
        environment,
        settings.install_py_dep_per_model,
        settings.allow_requirements_options,
        settings.requirements_timeout,
    )
    return Dependencies(rules, commands, in_thread)


def _cors(settings: Settings) -> tuple[tuple[bytes, bytes], ...]:
    named = (
        (b"access-control-allow-origin", settings.cors_allowed_origin),
        (b"access-control-allow-methods", settings.cors_allowed_methods),
        (b"access-control-allow-headers", settings.cors_allowed_headers),
    )
    return tuple((name, value.encode("latin-1")) for name, value in named if value)


def _browser_policy() -> IPolicyForHTTPS:
    return BrowserLikePolicyForHTTPS()  # type: ignore[no-untyped-call]  # Twisted's


def _new_uuid() -> str:
    return str(uuid4())


def _log_failure(failure: Failure) -> None:
    _log.failure("A request ended in an error of the server", failure)
