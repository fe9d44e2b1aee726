"""The states of a worker, and what may happen in each: a table for Automat."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from automat import TypeMachineBuilder, pep614

from modelserver.errors import WorkerFailure


class WorkerInputs(Protocol):
    """What can happen to a worker."""

    def start(self) -> None: ...
    def loaded(self) -> None: ...
    def timed_out(self) -> None: ...
    def exited(self, failure: WorkerFailure) -> None: ...
    def give_up(self) -> None: ...
    def stop(self, drain: float | None) -> None: ...
    def drained(self) -> None: ...


class Subject(Protocol):
    """What a transition may have a worker do; the worker says how."""

    @property
    def in_hand(self) -> Collection[object]: ...
    def enter(self, state: str) -> None: ...
    def launch(self) -> None: ...
    def revive(self) -> None: ...
    def succeed(self) -> None: ...
    def kill(self, cause: str) -> None: ...
    def lose(self, failure: WorkerFailure) -> None: ...
    def wait_to_restart(self) -> None: ...
    def give_up(self) -> None: ...
    def drain(self, seconds: float | None) -> None: ...
    def end(self) -> None: ...
    def leave(self) -> None: ...


_builder = TypeMachineBuilder(WorkerInputs, Subject)  # type: ignore[type-abstract]  # only its name is used
_stopped = _builder.state("stopped")
_starting = _builder.state("starting")
_ready = _builder.state("ready")
_draining = _builder.state("draining")
_stopping = _builder.state("stopping")
_dying = _builder.state("dying")
_waiting = _builder.state("waiting")
_failed = _builder.state("failed")

_Inputs = WorkerInputs


@pep614(_stopped.upon(_Inputs.start).to(_starting))
def _launch(inputs: _Inputs, worker: Subject) -> None:
    worker.launch()


@pep614(_waiting.upon(_Inputs.timed_out).to(_starting))
def _relaunch(inputs: _Inputs, worker: Subject) -> None:
    worker.launch()


@pep614(_failed.upon(_Inputs.start).to(_starting))
@pep614(_waiting.upon(_Inputs.start).to(_starting))
def _revive(inputs: _Inputs, worker: Subject) -> None:
    worker.revive()


@pep614(_starting.upon(_Inputs.loaded).to(_ready))
def _succeed(inputs: _Inputs, worker: Subject) -> None:
    worker.succeed()


@pep614(_starting.upon(_Inputs.timed_out).to(_dying))
def _start_too_slow(inputs: _Inputs, worker: Subject) -> None:
    worker.enter("dying")
    worker.kill("startup timeout")


@pep614(_ready.upon(_Inputs.timed_out).to(_dying))
def _answer_too_slow(inputs: _Inputs, worker: Subject) -> None:
    worker.enter("dying")
    worker.kill("response timeout")


@pep614(_starting.upon(_Inputs.exited).to(_waiting))
@pep614(_ready.upon(_Inputs.exited).to(_waiting))
@pep614(_dying.upon(_Inputs.exited).to(_waiting))
def _wait(inputs: _Inputs, worker: Subject, failure: WorkerFailure) -> None:
    worker.wait_to_restart()
    worker.lose(failure)


@pep614(_waiting.upon(_Inputs.give_up).to(_failed))
def _give_up(inputs: _Inputs, worker: Subject) -> None:
    worker.give_up()


@pep614(_ready.upon(_Inputs.stop).to(_draining))
def _drain(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    worker.drain(drain)
    if not worker.in_hand:
        inputs.drained()


@pep614(_draining.upon(_Inputs.stop).to(_draining))
def _drain_less(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    if drain is not None:
        worker.drain(drain)


@pep614(_draining.upon(_Inputs.drained).to(_stopping))
@pep614(_draining.upon(_Inputs.timed_out).to(_stopping))
def _end(inputs: _Inputs, worker: Subject) -> None:
    worker.end()


@pep614(_starting.upon(_Inputs.stop).to(_stopping))
@pep614(_dying.upon(_Inputs.stop).to(_stopping))
def _end_at_once(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    worker.end()


@pep614(_stopping.upon(_Inputs.timed_out).to(_stopping))
def _end_by_force(inputs: _Inputs, worker: Subject) -> None:
    worker.enter("stopping")
    worker.kill("exit")


@pep614(_draining.upon(_Inputs.exited).to(_stopped))
@pep614(_stopping.upon(_Inputs.exited).to(_stopped))
def _gone(inputs: _Inputs, worker: Subject, failure: WorkerFailure) -> None:
    worker.enter("stopped")
    worker.lose(failure)
    worker.leave()


@pep614(_waiting.upon(_Inputs.stop).to(_stopped))
@pep614(_failed.upon(_Inputs.stop).to(_stopped))
@pep614(_stopped.upon(_Inputs.stop).to(_stopped))
def _never_again(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    worker.leave()


# What cannot change anything any more.
_dying.upon(_Inputs.loaded).loop().returns(None)
_dying.upon(_Inputs.timed_out).loop().returns(None)
_stopping.upon(_Inputs.loaded).loop().returns(None)
_stopping.upon(_Inputs.stop).loop().returns(None)
_stopping.upon(_Inputs.drained).loop().returns(None)
_starting.upon(_Inputs.start).loop().returns(None)
_ready.upon(_Inputs.start).loop().returns(None)
_dying.upon(_Inputs.start).loop().returns(None)

LIFECYCLE = _builder.build()
