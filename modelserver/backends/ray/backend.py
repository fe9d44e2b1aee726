"""The backend of workers on other machines, and the one that chooses between here and there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.backends.local import ALLOCATION, largest_frame, worker_environment, worker_title
from modelserver.backends.ray.listener import NodeListener
from modelserver.backends.ray.model_files import ModelFiles
from modelserver.backends.ray.node_order import NodeOrder
from modelserver.backends.ray.remote_link import RemoteLink
from modelserver.backends.ray.remote_process import RemoteProcess
from modelserver.backends.ray.remote_services import RemoteServices
from modelserver.backends.ray.starter import ClusterUnusable, NodeRequest, NodeStarter
from modelserver.backends.ray.wire import TOKEN_SIZE, NodeKind
from modelserver.interfaces import WorkerEvents, WorkerProcess
from modelserver.language.attributes import define
from modelserver.protocol import frames
from modelserver.protocol.load_request import LoadRequest
from modelserver.spec import WorkerDescription, WorkerSettings, WorkerSpec
from modelserver.system.threads import COUNTS

CACHE = "modelserver-models"
"""The folder of models on nodes."""

_log = Logger()


@define(eq=False)
class RemoteBackend:
    """
    Starts workers on nodes.

    :param certificate: the server's, as PEM, which nodes compare.
    :param address: where nodes reach the server; empty: as the starter says.
    :param folder: of the server's own, for a file that tells nodes whether they share its files, and for
        models as they are sent.
    :param cache_size: bytes that nodes keep of models.
    :param cache: the folder for them, on nodes, below that for temporary files unless it is absolute.
    """

    starter: NodeStarter
    listener: NodeListener
    certificate: str
    services: RemoteServices
    settings: WorkerSettings
    files: ModelFiles
    address: str
    folder: Path
    cache_size: int
    cache: str = CACHE
    entropy: Callable[[int], bytes] = os.urandom
    _probe: dict[str, str] = field(factory=dict, init=False)
    _folders: dict[tuple[str, str], Path] = field(factory=dict, init=False)
    _asked: set[RemoteProcess] = field(factory=set, init=False)
    """Those whose nodes have asked for files, and are not answered yet."""

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Have an agent started for a worker; it starts the worker when it has dialled."""
        on_gpu = spec.version.placement.amounts.get("GPU", 0) > 0
        spec = evolve(spec, gpu_id=0 if on_gpu else None, visible_devices=None)
        self._folders[spec.version.name, spec.version.version] = spec.version.folder
        process = RemoteProcess(
            spec=spec,
            services=self.services,
            events=events,
            largest=largest_frame(spec, self.settings),
            start=b"",
            offer_files=lambda link, is_wanted: self._offer(process, link, is_wanted),
        )

        def failed(failure: Failure) -> None:
            _log.failure("Worker {worker} could not be launched", failure, worker=spec.id)
            process.not_started(str(failure.value))

        self.services.loop.call_soon(lambda: Deferred.fromCoroutine(self._start(process)).addErrback(failed))
        return process

    async def _start(self, process: RemoteProcess) -> None:
        """Have an agent started, unless the worker is not wanted any more."""
        spec, version = process.spec, process.spec.version
        if not process.is_wanted:
            return
        try:
            host = await self.starter.join()
            address = self.listener.listen(self.address or host)
            process.start = frames.pack_json(NodeKind.START, self.start_document(spec, process.largest))
        except (ClusterUnusable, OSError) as error:
            process.not_started(str(error))
            return
        if not process.is_wanted:
            return
        token = self.entropy(TOKEN_SIZE)
        self.listener.expect(token, process.connected)
        process.left = lambda: self.listener.forget(token)
        order = NodeOrder(
            address=(self.address or address[0], address[1]),
            certificate=self.certificate,
            token=token,
            silence=self.services.lost,
            cache=self.cache,
            cache_size=self.cache_size,
        )
        request = NodeRequest(
            worker=spec.id,
            version=f"{version.name}/{version.version}",
            resources=version.placement.amounts,
            strategy=version.placement.strategy,
            line=order.to_line(),
        )
        process.handle = self.starter.start(request, process)

    def start_document(self, spec: WorkerSpec, largest: int) -> dict[str, object]:
        """
        Return what an agent is told of its worker.

        :raises OSError: the file by which nodes know shared files cannot be written.
        """
        version, settings = spec.version, self.settings
        added = worker_environment(spec, settings, {})
        for name in ALLOCATION:
            added.pop(name, None)
        threads = str(max(1, int(version.placement.amounts.get("CPU", 1))))
        return {
            "load": {**LoadRequest.for_worker(spec, settings, 0).to_document(), "ahead": False},
            "environment": added,
            "defaults": {**ALLOCATION, **dict.fromkeys(COUNTS, threads)},
            "hidden": settings.hidden_variables,
            "python": version.start.python,
            "is_bound": version.start.python is not None or bool(version.start.search_path),
            "title": worker_title(spec),
            "largest": largest,
            "has_gpu": spec.gpu_id is not None,
            "metrics": _text_of(settings.metrics_config),
            "probe": self._shown(),
        }

    def _shown(self) -> Mapping[str, str]:
        """Return the file by which a node knows whether it sees the server's files."""
        if not self._probe:
            path, content = self.folder / "shared", self.entropy(TOKEN_SIZE)
            path.write_bytes(content)
            self._probe = {"path": str(path), "sha256": hashlib.sha256(content).hexdigest()}
        return self._probe

    def _offer(self, process: RemoteProcess, link: RemoteLink, is_wanted: bool) -> None:
        """
        Answer a node that asks for a model's files.

        :raises FrameError: it asks before it was answered.
        """
        if process in self._asked:
            raise frames.FrameError("files are asked for while they are on their way")
        self._asked.add(process)
        folder = process.spec.version.folder
        sent = Deferred.fromCoroutine(self.files.offer(link, folder, is_wanted))
        sent.addErrback(lambda failure: process.give_up(f"its files cannot be sent: {failure.value}"))
        sent.addCallback(lambda _: self._asked.discard(process))

    def retire(self, name: str, version: str) -> None:
        """The version is gone: its files are packed in vain."""
        folder = self._folders.pop((name, version), None)
        if folder is not None:
            self.files.forget(folder)

    def close(self) -> None:
        """Listen for nodes no more."""
        self.listener.close()

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """Workers come from nowhere else."""
        return None


def _text_of(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None  # the worker tells of it as one here would
