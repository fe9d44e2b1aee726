"""The seams: what the core asks of its surroundings. Each has an in-memory provider in ``testing``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred

from modelserver.devices import Gpu, GpuMemory, GpuUsage
from modelserver.errors import ServingError
from modelserver.jobs import Answer, CallMarks, Job
from modelserver.spec import (
    ModelSummary,
    VersionDescription,
    WorkerDescription,
    WorkerFailure,
    WorkerPlace,
    WorkerSpec,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class EventLoop(Protocol):
    """The part of asyncio's event loop that workers' sockets need; asyncio and uvloop have it as it is."""

    def add_reader(self, fd: int, callback: Callable[[], object]) -> object: ...
    def remove_reader(self, fd: int) -> object: ...
    def add_writer(self, fd: int, callback: Callable[[], object]) -> object: ...
    def remove_writer(self, fd: int) -> object: ...
    def call_soon(self, callback: Callable[[], object]) -> object: ...


class WorkerEvents(Protocol):
    """What a backend reports of one worker process, in this order; ``exited`` comes once, last."""

    def started(self) -> None:
        """The process runs."""

    def loaded(self) -> None:
        """The handler has loaded the model."""

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        A batch came back, or the next jobs of a pipelined one: an answer or an error for each job in order,
        and the seconds that the handler took.
        """

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Parts of a streamed batch, or of the next job of those pipelined, came: one piece for each job, empty
        where there is none, and so on for each further part; more follow.
        """

    def dropped(self, number: int, calls: int) -> None:
        """The process has passed over the last ``calls`` of a batch, which were taken back."""

    def counted(self, metrics: Sequence[Mapping[str, object]]) -> None:
        """What the handler emitted through ``context.metrics``."""

    def timed(self, number: int, place: int, marks: CallMarks) -> None:
        """What the process did when, in the call for the job at ``place`` of a batch, and those beside it."""

    def turn_ended(self) -> None:
        """Everything that was in the socket has been reported."""

    def went_silent(self, failure: WorkerFailure) -> None:
        """Nothing is heard of its machine: no answer to what it has in hand will be reported any more."""

    def heard_again(self) -> None:
        """The process, which went silent, is there as before."""

    def exited(self, failure: WorkerFailure) -> None:
        """The process is gone, with its descendants, and this is why."""


class WorkerProcess(Protocol):
    """A launched worker."""

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is not known."""

    @property
    def threads(self) -> int | None:
        """The threads of computation that it was given, None if it was told nothing."""

    @property
    def gpu_memory(self) -> GpuMemory | None:
        """What it last told of its GPUs' memory, None before, and where it uses none."""

    @property
    def place(self) -> WorkerPlace | None:
        """Where it is, or will be, if that is another machine; its ``pid`` is one there."""

    def calls_under_way(self, seconds: float) -> int:
        """How many calls of so many seconds fit into the way to another machine and back; 0 on this one."""

    @property
    def goes_ahead(self) -> bool:
        """Whether calls may be sent ahead of the present one; where not, ``ahead`` below is never true."""

    @property
    def is_laying(self) -> bool:
        """Whether it may lay answers over its call's requests: if it ends, they cannot be tried again."""

    def send(self, number: int, jobs: Sequence[Job], pipelined: bool = False, ahead: bool = False) -> None:
        """
        Queue a batch, or jobs that are each a batch (``pipelined``); they leave at the next ``flush``.

        :param ahead: the process begins each of these calls only if it was not taken back before.
        """

    def flush(self) -> None:
        """Write what was handed over."""

    def take_back(self) -> int:
        """
        Take back the calls that were sent ahead and have not begun; return how many: the last ones sent.

        ``WorkerEvents.dropped`` tells of each frame that the process has passed over them; until it has of
        all, nothing may be sent ahead.
        """

    def collect_answers(self) -> None:
        """Report at once the answers that the process keeps to send them with the next ones."""

    def cancel(self, number: int, index: int) -> None:
        """The client of one job of a streaming batch is gone."""

    def hold(self, number: int, is_held: bool) -> None:
        """Have a streaming handler wait before its next part, or go on."""

    def stop(self) -> None:
        """Ask the process to end (end of input, then TERM)."""

    def kill(self, cause: str) -> None:
        """End the whole process group now; ``exited`` will name ``cause``."""


class WorkerBackend(Protocol):
    """Where workers run."""

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Start a worker; never raises: a launch that fails is reported by ``exited``."""

    def retire(self, name: str, version: str) -> None:
        """The version is gone; whatever was kept for it (a template) may go."""

    def describe(self, name: str, version: str) -> WorkerDescription | None:
        """The process that the version's workers come from (a template), if there is one."""


class Command(NamedTuple):
    """
    A program to run: its path and arguments, all of its environment, the seconds that it may take.

    :param folder: where it runs; None: where the server does.
    :param given: what it reads from its standard input; None: it has the server's.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    timeout: float
    folder: str | None = None
    given: bytes | None = None


class Finished(NamedTuple):
    """How a program ended: its exit code (None: by a signal), its last lines, whether its time was over."""

    code: int | None
    last: Sequence[str]
    is_late: bool = False


class CommandRunner(Protocol):
    """Runs programs to their end."""

    def run(
        self,
        command: Command,
        report: Callable[[str], None],
        complain: Callable[[str], None] | None = None,
    ) -> Deferred[Finished]:
        """
        Run a program, reporting each line of its output; cancelling kills it.

        :param complain: is told the lines of its standard error, instead of ``report``.
        """


class InThread(Protocol):
    """Runs a function that blocks in a thread, as Twisted's ``deferToThread`` does."""

    def __call__(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Deferred[Result]: ...


class Inventory(Protocol):
    """What knows the machine's GPUs: the visible ones, their load if told, what speaks against using one."""

    def gpus(self) -> Sequence[Gpu]: ...
    def usage(self, gpu_id: int) -> GpuUsage | None: ...
    def illness(self, gpu_id: int) -> str | None: ...


class ModelSource(Protocol):
    """Where archives of one kind of URL come from. What a source downloads, that source keeps and removes."""

    def fetch(self, url: str) -> Deferred[Path]:
        """
        Return the local archive or folder for a URL; the path is owed to ``release``.

        Cancel the Deferred to give up.

        :raises ArchiveNotFound: there is nothing that may be read.
        :raises DownloadFailed: the archive could not be fetched; nothing is left on disk.
        """

    async def adopt(self, url: str) -> Path:
        """
        Return the file that an earlier server has fetched from a URL; the path is owed to ``release``.

        :raises ArchiveNotFound: there is no such file, or the URL is not allowed any more.
        """

    def release(self, path: Path, keeps_file: bool = False) -> Deferred[None]:
        """
        Give back a path of ``fetch`` or ``adopt``, once; a file that nobody has any more is deleted.

        The Deferred never fails: a file that cannot be deleted is logged.

        :param keeps_file: the file stays, for the next server to adopt.
        """


class Reply(NamedTuple):
    """An HTTP answer: status, reason phrase, header pairs, body."""

    code: int
    body: bytes
    phrase: bytes = b""
    headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),)


class Dialect(Protocol):
    """The words of one peer: pure functions from values or errors to replies."""

    @property
    def name(self) -> str:
        """``torchserve`` or ``mms``."""

    def failed(self, error: ServingError) -> Reply:
        """An error body, and the status that goes with it."""

    def status(self, text: str, code: int = 200) -> Reply:
        """``{"status": text}``."""

    def registered(self, name: str, version: str, workers: int, synchronous: bool) -> Reply:
        """A registration that came to its end, or goes on in the background."""

    def scaled(
        self, name: str, version: str | None, workers: int, synchronous: bool, complete: bool
    ) -> Reply:
        """A change of the number of workers; ``version`` only if the caller named one."""

    def unregistered(self, name: str) -> Reply:
        """A version that is gone."""

    def default_set(self, name: str, version: str) -> Reply:
        """A new default version."""

    def described(self, versions: Sequence[VersionDescription]) -> Reply:
        """One or all versions of a model."""

    def listed(self, models: Sequence[ModelSummary], next_token: str | None) -> Reply:
        """A page of the list of models."""

    def pinged(self, wanted: int, running: int, healthy: bool) -> Reply:
        """The state of the whole server."""


class AccessRecorder(Protocol):
    """Where answered requests are noted."""

    def record(
        self,
        remote: str,
        asked: tuple[str, str, str],
        status: int,
        milliseconds: float,
        request_id: bytes,
        trace_id: str = "",
    ) -> None:
        """One request that was answered; ``asked``: method, URI and protocol."""


class Recorder(Protocol):
    """Counts what happens. Every call is cheap: plain numbers, read when somebody asks."""

    def request_arrived(self, model: str, version: str | None) -> None:
        """An inference was accepted."""

    def answered(self, code: int) -> None:
        """An HTTP answer left."""

    def calls_ended(self, method: str, code: str, seconds: Sequence[float], received: int, sent: int) -> None:
        """gRPC calls ended with the code of this name; ``seconds``: of each, and bytes of all either way."""

    def jobs_finished(self, model: str, version: str, jobs: Sequence[Job], now: float) -> None:
        """Jobs of a version have their answers, at ``now`` on the clock that their times are of."""

    def batches_finished(
        self, model: str, version: str, batches: int, jobs: int, handler: float, total: float
    ) -> None:
        """Batches came back with so many jobs; seconds in the handler, and with the worker, for all."""

    def refused(self, model: str, cause: str) -> None:
        """A request was refused (``job_queue_size``, ``no_worker``, ``deadline``, ...)."""

    def worker_loaded(self, model: str, version: str, worker: str, seconds: float) -> None:
        """A worker is ready."""

    def woken(self, model: str, version: str, seconds: float) -> None:
        """A worker is ready for requests that have waited for one, of a version that had none."""

    def scale_decided(self, model: str, version: str, reason: str) -> None:
        """The server has decided how many workers a version is to have, for a reason of one word."""

    def worker_restarted(self, model: str, version: str) -> None:
        """A worker was started again."""

    def job_retried(self, model: str, version: str) -> None:
        """A job goes to a second worker after its first one died."""

    def handler_metrics(self, model: str, version: str, metrics: Sequence[Mapping[str, object]]) -> None:
        """What a handler emitted through ``context.metrics``."""

    def node_called(
        self, workflow: str, node: str, outcome: str, seconds: float | None, queued: float | None
    ) -> None:
        """
        An attempt at a node of a workflow has ended.

        :param outcome: ``answered``, or why there is no answer.
        :param seconds: since it was queued; None: it was refused.
        :param queued: how many of them it waited for a worker.
        """

    def workflow_ended(self, workflow: str, outcome: str, seconds: float) -> None:
        """A request to a workflow has ended, ``seconds`` after its arrival; ``outcome`` as for nodes."""

    def workflow_gone(self, workflow: str) -> None:
        """A workflow was unregistered; what was counted for it may be forgotten."""

    def version_gone(self, model: str, version: str) -> None:
        """A version was unregistered; what was counted for it may be forgotten once it has been read."""
