"""What the log says of a worker's life, in the phrases that scripts and alerts for the peers look for."""

from __future__ import annotations

from attrs import field
from constantly import NamedConstant  # type: ignore[import-untyped]  # it comes with Twisted
from twisted.logger import Logger, LogLevel

from modelserver.language.attributes import define
from modelserver.spec import WorkerFailure, WorkerSpec

STARTED, LOADED, ERROR = "WORKER_STARTED", "WORKER_MODEL_LOADED", "WORKER_ERROR"
STOPPED, SCALED_DOWN = "WORKER_STOPPED", "WORKER_SCALED_DOWN"
NO_RESPONSE = (
    "org.pytorch.serve.wlm.WorkerInitializationException: Backend worker did not respond in given time"
)
"""The second line of TorchServe's error, with the class that its scripts look for."""
TIMEOUTS = ("response timeout", "startup timeout")
"""Causes of an end that the peers tell as an error of the backend."""

_log = Logger(namespace="modelserver.core.workers.worker")


@define(eq=False)
class WorkerLog:
    """
    Tells the log each event of one worker, at its moment.

    The phrases are facts of TorchServe's and Multi Model Server's ``wlm/WorkerThread.java``, as both write
    them to ``ts_log.log`` and ``mms_log.log``; ``docs/compatibility-logs.md`` has the table.

    :param response: seconds that an answer may take, as a line tells them.
    """

    spec: WorkerSpec
    response: float
    _state: str = field(default="null", init=False)
    _is_recovering: bool = field(default=False, init=False)
    _unsuccessful: int = field(default=0, init=False)

    def started(self) -> None:
        """The process runs."""
        self._change(STARTED)

    def loaded(self) -> None:
        """The model is loaded."""
        self._change(LOADED)
        self._unsuccessful = 0
        if self._is_recovering:
            self._is_recovering = False
            self._tell("Auto recovery succeeded, reset recoveryStartTS")

    def not_launched(self) -> None:
        """The backend has failed to start the process; called while that is handled."""
        _log.failure("Worker {worker} could not be launched", worker=self.spec.id)

    def answer_not_taken(self) -> None:
        """Whoever waits for an answer has failed when it came; called while that is handled."""
        _log.failure("An answer could not be handed over")

    def timed_out(self) -> None:
        """The start, or an answer, took too long."""
        self._unsuccessful += 1
        self._tell(
            "Number or consecutive unsuccessful inference {count}", LogLevel.error, count=self._unsuccessful
        )
        self._tell(f"Backend worker error\n{NO_RESPONSE}", LogLevel.error)

    def leaving(self) -> None:
        """The worker is to end, for it is not wanted any more."""
        if self._state != SCALED_DOWN:
            self._change(SCALED_DOWN)

    def exited(self, failure: WorkerFailure) -> None:
        """The process is gone."""
        # Scripts that follow the log take each line with the exception's name for a traceback's last one.
        why = failure.outline if failure.traceback else str(failure)
        self._tell(
            "Worker {worker} of model {model} version {version} ended: {failure}",
            failure=why,
            stderr=failure.stderr,
            traceback=failure.traceback,
        )
        if failure.cause == "load":
            self._tell("Load model failed: {model}, error: {failure}", LogLevel.warn, failure=why)
            self._change(ERROR)
        self._tell("{worker} Worker disconnected. {state}", state=self._state)
        if self._state != SCALED_DOWN and failure.cause not in TIMEOUTS:
            self._tell(
                "Backend worker monitoring thread interrupted or backend worker process died., "
                "responseTimeout:{seconds:g}sec",
                seconds=self.response,
            )
        is_over = self._state == SCALED_DOWN
        self._change(STOPPED)
        if is_over:
            self._tell("Worker terminated due to scale-down call.")

    def waits(self, seconds: float, now: float) -> None:
        """
        The worker is started again, in so many seconds.

        :param now: seconds since the epoch.
        """
        if not self._is_recovering:
            self._is_recovering = True
            self._tell("Auto recovery start timestamp: {milliseconds}", milliseconds=int(now * 1000))
        self._tell("Retry worker: {worker} in {seconds:g} seconds.", seconds=round(seconds, 3))

    def gave_up(self) -> None:
        """The worker is not started again by itself."""
        self._is_recovering = False
        self._tell("Auto recovery failed again: worker {worker} is not started any more", LogLevel.warn)

    def _change(self, state: str) -> None:
        self._tell("W-{worker}-{model}_{version} State change {old} -> {new}", old=self._state, new=state)
        self._state = state

    def _tell(self, text: str, level: NamedConstant = LogLevel.info, **fields: object) -> None:
        version = self.spec.version
        _log.emit(level, text, worker=self.spec.id, model=version.name, version=version.version, **fields)
