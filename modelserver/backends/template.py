"""Workers that are forked from a template: a process that has imported the handler's libraries, or more."""

from __future__ import annotations

import os
import socket
from functools import partial

from attrs import field
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from modelserver.backends.frame_socket import FrameSocket, socket_pair
from modelserver.backends.local import (
    SOCKET_BUFFER,
    LocalBackend,
    largest_frame,
    open_ahead,
    worker_title,
)
from modelserver.backends.orphans import OWNER
from modelserver.backends.template_process import TemplateProcess
from modelserver.backends.watchdog import Watchdog
from modelserver.backends.worker_process import LocalProcess
from modelserver.interfaces import WorkerEvents, WorkerProcess
from modelserver.language.attributes import define
from modelserver.protocol import frames
from modelserver.spec import WorkerDescription, WorkerFailure, WorkerSpec, WorkerState
from modelserver.system.threads import COUNTS, WAITING

_log = Logger()

STATUS_WAIT = 0.25
"""Seconds to wait for the template to tell how its child ended, after the kernel has said that it did."""
LONGEST_FORK = 10.0
"""Seconds without a fork that a template owes, after which it is taken to hang."""
RENEWAL = 1.0
"""Seconds after which a template that died under living workers is started again."""
KEPT_TO_ONE = ("OPENBLAS_NUM_THREADS",)
"""Variables of libraries that start their threads when they are imported."""
OF_EACH_WORKER = (*COUNTS, WAITING, "CUDA_VISIBLE_DEVICES", OWNER)
"""Variables that differ between a template and its workers."""
MODEL, IMPORTS, LIBRARIES, SPAWN = "model", "imports", "libraries", "spawn"


@define(eq=False)
class TemplateBackend:
    """Forks the workers of versions that ask for it, and leaves the others to ``local``."""

    local: LocalBackend
    _templates: dict[tuple[str, str], Template] = field(factory=dict, init=False)
    _unsafe: dict[tuple[str, str], str] = field(factory=dict, init=False)

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Start a worker, by a fork if its version has a template."""
        key = spec.version.name, spec.version.version
        if spec.version.start.method != "template" or self._unsafe.get(key) == SPAWN:
            return self.local.launch(events, spec)
        process = ForkedProcess(spec, self.local.machine, events=events, ahead=open_ahead(spec))
        try:
            process.connect(largest_frame(spec, self.local.settings))
        except OSError as error:
            self.local.not_launched(process, error)
        else:
            self.template_of(spec).fork(process)
        return process

    def template_of(self, spec: WorkerSpec) -> Template:
        """The version's template, started if there is none."""
        key = spec.version.name, spec.version.version
        template = self._templates.get(key)
        if template is None:
            template = self._templates[key] = Template(self, spec, self.preload_of(spec))
            template.start()
        return template

    def preload_of(self, spec: WorkerSpec) -> str:
        """Return what the version's template is to hold; what it cannot hold on a GPU is told once."""
        key = spec.version.name, spec.version.version
        preload = self._unsafe.get(key, spec.version.start.preload)
        if preload != MODEL or spec.gpu_id is None:
            return preload
        # A GPU may only be touched after the fork.
        self._unsafe[key] = IMPORTS
        _log.warn(
            "Model {model} version {version} is on a GPU, which its template must not touch: "
            "its workers start with preload={instead}, not {preload}",
            model=spec.version.name,
            version=spec.version.version,
            instead=IMPORTS,
            preload=preload,
        )
        return IMPORTS

    def fall_back(self, template: Template, hazards: str) -> None:
        """What the template has loaded cannot be forked: keep libraries only, or nothing, from now on."""
        version = template.spec.version
        key = version.name, version.version
        self._unsafe[key] = instead = SPAWN if template.preload == LIBRARIES else LIBRARIES
        _log.warn(
            "Model {model} version {version} cannot be forked with preload={preload}: {hazards}; "
            "its workers start with {instead}",
            model=version.name,
            version=version.version,
            preload=template.preload,
            hazards=hazards,
            instead=SPAWN if instead == SPAWN else f"preload={instead}",
        )
        waiting = self.forget(template)
        for process in waiting:
            if instead == SPAWN:
                self.spawn_instead(process)
            else:
                self.template_of(process.spec).fork(process)

    def spawn_instead(self, process: ForkedProcess) -> None:
        """Give a process that was to be forked one of its own."""
        process.template = None
        process.disconnect()
        local = self.local
        local.spawn(process, local.environment_for(process), local.load_frame(process))

    def forget(self, template: Template) -> list[ForkedProcess]:
        """Have the template no more; who waited for it is returned."""
        version = template.spec.version
        key = version.name, version.version
        if self._templates.get(key) is template:
            del self._templates[key]
        return template.stop()

    def retire(self, name: str, version: str) -> None:
        """The version is gone, and so is its template."""
        self._unsafe.pop((name, version), None)
        template = self._templates.get((name, version))
        if template is not None:
            self.forget(template)

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """The version's template as it is now, if it has one."""
        template = self._templates.get((name, version))
        return None if template is None else template.describe()


@define(eq=False)
class ForkedProcess(LocalProcess):
    """A worker that is, or will be, a child of a template."""

    template: Template | None = field(default=None, init=False)
    _far_end: socket.socket | None = field(default=None, init=False)

    def connect(self, largest: int) -> None:
        """
        Make the link, of which the worker gets its end when it is forked.

        :param largest: bytes that the worker may send in one piece.
        :raises OSError: there are no descriptors left.
        """
        ours, self._far_end = socket_pair(SOCKET_BUFFER)
        self.link = FrameSocket(ours, self.machine.loop, self, largest)

    def take_far_end(self) -> socket.socket:
        """Hand the worker's end of the link to the caller, who closes it; the link is read from now on."""
        far_end, self._far_end = self._far_end, None
        assert far_end is not None, "a worker is forked once"
        self.link.open()
        return far_end

    def disconnect(self) -> None:
        """Give the link up, both ends of it."""
        self.link.close()
        if self._far_end is not None:
            self._far_end.close()

    @property
    def is_given_up(self) -> bool:
        """Whether it was told to end."""
        return self.cause is not None

    def stop(self) -> None:
        """End; one that waits for its template is never forked."""
        if not self._withdraw("exit"):
            super().stop()

    def kill(self, cause: str) -> None:
        """KILL; one that waits for its template is never forked; a template that does not fork goes, too."""
        if self._withdraw(cause):
            return
        if self.template is not None and self.template.owes(self):
            self.cause = cause
            self.template.kill()
        else:
            super().kill(cause)

    def _withdraw(self, cause: str) -> bool:
        if self.template is None or not self.template.withdraw(self):
            return False
        self.cause = cause
        self.disconnect()
        self.machine.loop.call_soon(lambda: self.ended(None, None))
        return True


@define(eq=False)
class Template:
    """One template process, those that wait for it, and its children."""

    backend: TemplateBackend
    spec: WorkerSpec
    preload: str
    process: TemplateProcess | None = field(default=None, init=False)
    started_at: float = field(default=0.0, init=False)
    is_ready: bool = field(default=False, init=False)
    _waiting: list[ForkedProcess] = field(factory=list, init=False)
    _ordered: dict[int, ForkedProcess] = field(factory=dict, init=False)
    _children: dict[int, ForkedProcess] = field(factory=dict, init=False)
    _orders: int = field(default=0, init=False)
    _renewal: IDelayedCall | None = field(default=None, init=False)
    _is_over: bool = field(default=False, init=False)
    _watchdog: Watchdog = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._watchdog = Watchdog(self.backend.local.machine.clock, LONGEST_FORK, self.kill)

    # What the backend asks.

    def start(self) -> None:
        """Spawn the template."""
        local = self.backend.local
        self.started_at = local.machine.now()
        self.process = TemplateProcess(self.spec, local.machine, owner=self)
        environment = local.environment_for(self.process)
        environment |= dict.fromkeys(KEPT_TO_ONE, "1")
        del environment[OWNER]  # what a forked worker forks still shows the environment of its template
        document = {**local.load_request(self.spec).to_document(), "preload": self.preload}
        local.spawn(self.process, environment, frames.pack_json(frames.PRELOAD, document))

    def fork(self, process: ForkedProcess) -> None:
        """Fork as soon as everything is loaded."""
        process.template = self
        if self.process is None:
            self.start()
        if self.is_ready:
            self._order(process)
        else:
            self._waiting.append(process)

    def withdraw(self, process: ForkedProcess) -> bool:
        """Do not fork this one; false if it is forked already."""
        if process not in self._waiting:
            return False
        self._waiting.remove(process)
        if not self._waiting and not self.is_ready and self.process is not None:
            # Nobody waits any more for something that may hang; who comes next gets another one.
            self.backend.forget(self)
        return True

    def owes(self, process: ForkedProcess) -> bool:
        """Whether this one was ordered and is not forked yet."""
        return process in self._ordered.values()

    def kill(self) -> None:
        """End the template: it hangs. Those that it owes, if they are to live, get their own processes."""
        if self.process is not None:
            _log.warn("The template {template} does not fork: it is ended", template=worker_title(self.spec))
            self.process.kill("exit")

    def stop(self) -> list[ForkedProcess]:
        """End the template, not its children; who waited is returned."""
        self._is_over = True
        if self._renewal is not None and self._renewal.active():
            self._renewal.cancel()
        process, self.process, self.is_ready = self.process, None, False
        if process is not None:
            process.kill("exit")
        waiting, self._waiting = self._waiting, []
        return waiting

    def describe(self) -> WorkerDescription | None:
        """The process as it is now."""
        if self.process is None:
            return None
        state = WorkerState.READY if self.is_ready else WorkerState.STARTING
        return WorkerDescription("template", state, self.started_at, self.process.pid)

    def _order(self, process: ForkedProcess) -> None:
        assert self.process is not None
        try:
            outputs = process.make_pipes()
        except OSError as error:
            process.disconnect()
            self.backend.local.not_launched(process, error)
            return
        theirs = process.take_far_end()
        self._orders += 1
        self._ordered[self._orders] = process
        self._watchdog.renew(True)
        descriptors = [theirs.fileno(), *outputs]
        document = self._order_for(process)
        if process.ahead is not None:
            descriptors += process.ahead.descriptors
            document["ahead"] = True
        order = frames.pack_json(frames.FORK, document, self._orders)
        try:
            self.process.link.send_with(order, descriptors)
        except OSError:
            # The template is dying: when its end is reported, so is that of all it still owes.
            self.process.kill("exit")
        finally:
            theirs.close()
            for writing in outputs:
                os.close(writing)

    def _order_for(self, process: ForkedProcess) -> dict[str, object]:
        spec, spawned = process.spec, self.backend.local.environment_for(process)
        environment = {name: spawned.get(name) for name in OF_EACH_WORKER}
        return {"gpu_id": spec.gpu_id, "environment": environment, "worker": worker_title(spec)}

    # What its process reports.

    def preloaded(self, hazards: list[str]) -> None:
        """Everything is loaded."""
        if hazards:
            self.backend.fall_back(self, "; ".join(hazards))
            return
        self.is_ready = True
        waiting, self._waiting = self._waiting, []
        for process in waiting:
            self._order(process)

    def forked(self, number: int, pid: int) -> None:
        """A worker lives."""
        process = self._ordered.pop(number, None)
        self._watchdog.renew(bool(self._ordered))
        if process is None:
            return
        self._children[pid] = process
        process.launched(pid, partial(self._wait_for_status, process, pid))

    def _wait_for_status(self, process: ForkedProcess, pid: int) -> None:
        clock = self.backend.local.machine.clock
        clock.callLater(STATUS_WAIT if self.process is not None else 0, self.child_exited, pid, None, None)

    def child_exited(self, pid: int, code: int | None, number: int | None) -> None:
        """A worker has ended."""
        process = self._children.pop(pid, None)
        if process is not None:
            process.ended(code, number)

    def exited(self, failure: WorkerFailure) -> None:
        """
        The template is gone: its children live on, those that wait for it get processes of their own.

        They fail as it did where nothing else can be expected of them: the model cannot be loaded.
        """
        self.process, self.is_ready = None, False
        waiting = [*self._ordered.values(), *self._waiting]
        self._ordered.clear()
        self._watchdog.renew(False)
        self._waiting.clear()
        for process in waiting:
            if self._is_over or process.is_given_up or failure.cause == "load":
                process.disconnect()
                process.exited(failure)
            else:
                self.backend.spawn_instead(process)
        if self._children and not self._is_over:
            clock = self.backend.local.machine.clock
            self._renewal = clock.callLater(RENEWAL, self._renew)

    def _renew(self) -> None:
        if self.process is None and self._children:
            self.start()
