"""Nodes that are plain programs of this machine: all of remote workers but the cluster that places them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, TypeVar, cast

from attrs import define, field
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IReactorTime

from modelserver.backends.ray.actor import AGENT
from modelserver.backends.ray.backend import RemoteBackend
from modelserver.backends.ray.identity import RunIdentity
from modelserver.backends.ray.listener import NodeListener
from modelserver.backends.ray.model_files import ModelFiles
from modelserver.backends.ray.remote_services import RemoteServices
from modelserver.backends.ray.starter import ClusterUnusable, NodeNews, NodeRequest, NodeStarter
from modelserver.interfaces import EventLoop
from modelserver.protocol.worker_start import start_command
from modelserver.spec import WorkerSettings

Result = TypeVar("Result")


@define(eq=False)
class ProgramHandle:
    """An agent that was started."""

    process: subprocess.Popen[bytes]

    def cancel(self, is_silent: bool = False) -> None:
        """Let it know that nobody wants it, and wait for its end."""
        if self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(20)
            self.process.stdin = None


@define(eq=False)
class ProgramStarter:
    """
    Starts agents as children of this process.

    :param refusal: why nothing can be started; empty: it can.
    :param environment: what agents inherit, None: what this process has.
    :param host: this machine's address, as nodes see it.
    :param prefix: words before the command, such as those that lead into a network namespace.
    """

    refusal: str = ""
    environment: dict[str, str] | None = None
    host: str = "127.0.0.1"
    prefix: Sequence[str] = ()
    handles: list[ProgramHandle] = field(factory=list, init=False)
    requests: list[NodeRequest] = field(factory=list, init=False)

    def join(self) -> Deferred[str]:
        """There is nothing to be joined."""
        return fail(ClusterUnusable(self.refusal)) if self.refusal else succeed(self.host)

    def start(self, request: NodeRequest, news: NodeNews) -> ProgramHandle:
        """Start an agent."""
        process = subprocess.Popen(
            [*self.prefix, *start_command(sys.executable, AGENT)], stdin=subprocess.PIPE, env=self.environment
        )
        stdin = cast(IO[bytes], process.stdin)
        stdin.write(request.line)
        stdin.flush()
        news.placed(f"node-{len(self.handles)}", self.host, "", "it is the only place")
        handle = ProgramHandle(process)
        self.handles.append(handle)
        self.requests.append(request)
        return handle

    def end(self) -> None:
        """Leave no agent behind."""
        for handle in self.handles:
            handle.cancel()


def make_remote_backend(
    starter: NodeStarter,
    folder: Path,
    loop: EventLoop,
    clock: IReactorTime,
    silence: float = 5.0,
    lost: float = 30.0,
    slots: memoryview | None = None,
) -> RemoteBackend:
    """Make a backend; ``folder`` is the server's own."""
    identity = RunIdentity.make(datetime.now(timezone.utc))
    return RemoteBackend(
        starter=starter,
        listener=NodeListener(identity.server_context(), loop, clock),
        certificate=identity.certificate,
        services=RemoteServices(loop, clock, time.time, slots, silence, lost),
        settings=WorkerSettings(),
        files=ModelFiles(folder, at_once),
        address="",
        folder=folder,
        cache_size=1 << 30,
        cache=str(folder / "cache"),
    )


def at_once(function: Callable[..., Result], /, *args: object, **kwargs: object) -> Deferred[Result]:
    """Stand for a thread."""
    return execute(function, *args, **kwargs)
