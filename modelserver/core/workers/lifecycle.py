"""The states of a worker, and what may happen in each: a table for Automat."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol

from automat import TypeMachineBuilder

from modelserver.spec import WorkerFailure, WorkerState

Arguments = ParamSpec("Arguments")


class WorkerInputs(Protocol):
    """What can happen to a worker."""

    def start(self) -> None: ...
    def loaded(self) -> None: ...
    def timed_out(self) -> None: ...
    def exited(self, failure: WorkerFailure) -> None: ...
    def went_silent(self, failure: WorkerFailure) -> None: ...
    def heard_again(self) -> None: ...
    def give_up(self) -> None: ...
    def stop(self, drain: float | None) -> None: ...
    def drained(self) -> None: ...


class Subject(Protocol):
    """What a transition may have a worker do; the worker says how."""

    def enter(self, state: WorkerState) -> None: ...
    def launch(self, anew: bool = False) -> None: ...
    def succeed(self) -> None: ...
    def come_back(self) -> None: ...
    def kill(self, cause: str) -> None: ...
    def lose(self, failure: WorkerFailure) -> None: ...
    def wait_to_restart(self) -> None: ...
    def give_up(self) -> None: ...
    def drain(self, seconds: float | None) -> None: ...
    def end(self) -> None: ...
    def leave(self) -> None: ...


_builder = TypeMachineBuilder(WorkerInputs, Subject)  # type: ignore[type-abstract]  # only its name is used
_STATES = {state: _builder.state(state.value) for state in WorkerState}

_Inputs = WorkerInputs
_Output = Callable[Concatenate[WorkerInputs, Subject, Arguments], None]

_STOPPED, _STARTING, _READY = WorkerState.STOPPED, WorkerState.STARTING, WorkerState.READY
_DRAINING, _STOPPING, _DYING = WorkerState.DRAINING, WorkerState.STOPPING, WorkerState.DYING
_SUSPECT = WorkerState.SUSPECT
_WAITING, _FAILED = WorkerState.WAITING, WorkerState.FAILED


def _upon(
    event: Callable[Concatenate[WorkerInputs, Arguments], None], *sources: WorkerState, to: WorkerState
) -> Callable[[_Output[Arguments]], _Output[Arguments]]:
    """
    Have ``event`` lead from each of ``sources`` to ``to``; the decorated function is what happens then.

    The worker is told its new state by the transition itself, so that the machine and the worker cannot
    differ. Where a state leads to itself the worker's timer goes on.
    """

    def register(output: _Output[Arguments]) -> _Output[Arguments]:
        @wraps(output)
        def enter(
            inputs: WorkerInputs, worker: Subject, *args: Arguments.args, **kwargs: Arguments.kwargs
        ) -> None:
            worker.enter(to)
            output(inputs, worker, *args, **kwargs)

        for source in sources:
            _STATES[source].upon(event).to(_STATES[to])(output if source is to else enter)
        return output

    return register


def _ignore(event: Callable[Concatenate[WorkerInputs, Arguments], None], *states: WorkerState) -> None:
    """Have ``event`` change nothing in each of ``states``."""
    for state in states:
        _STATES[state].upon(event).loop().returns(None)


@_upon(_Inputs.start, _STOPPED, to=_STARTING)
def _launch(inputs: _Inputs, worker: Subject) -> None:
    worker.launch()


@_upon(_Inputs.timed_out, _WAITING, to=_STARTING)
def _relaunch(inputs: _Inputs, worker: Subject) -> None:
    worker.launch()


@_upon(_Inputs.start, _FAILED, _WAITING, to=_STARTING)
def _revive(inputs: _Inputs, worker: Subject) -> None:
    worker.launch(anew=True)


@_upon(_Inputs.loaded, _STARTING, to=_READY)
def _succeed(inputs: _Inputs, worker: Subject) -> None:
    worker.succeed()


@_upon(_Inputs.timed_out, _STARTING, to=_DYING)
def _start_too_slow(inputs: _Inputs, worker: Subject) -> None:
    worker.kill("startup timeout")


@_upon(_Inputs.timed_out, _READY, to=_DYING)
def _answer_too_slow(inputs: _Inputs, worker: Subject) -> None:
    worker.kill("response timeout")


@_upon(_Inputs.went_silent, _READY, to=_SUSPECT)
def _suspect(inputs: _Inputs, worker: Subject, failure: WorkerFailure) -> None:
    worker.lose(failure)


@_upon(_Inputs.heard_again, _SUSPECT, to=_READY)
def _come_back(inputs: _Inputs, worker: Subject) -> None:
    worker.come_back()


@_upon(_Inputs.exited, _STARTING, _READY, _SUSPECT, _DYING, to=_WAITING)
def _wait(inputs: _Inputs, worker: Subject, failure: WorkerFailure) -> None:
    worker.wait_to_restart()
    worker.lose(failure)


@_upon(_Inputs.give_up, _WAITING, to=_FAILED)
def _give_up(inputs: _Inputs, worker: Subject) -> None:
    worker.give_up()


@_upon(_Inputs.stop, _READY, to=_DRAINING)
def _drain(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    worker.drain(drain)


@_upon(_Inputs.stop, _DRAINING, to=_DRAINING)
def _drain_less(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    if drain is not None:
        worker.drain(drain)


@_upon(_Inputs.drained, _DRAINING, to=_STOPPING)
@_upon(_Inputs.timed_out, _DRAINING, to=_STOPPING)
def _end(inputs: _Inputs, worker: Subject) -> None:
    worker.end()


@_upon(_Inputs.stop, _STARTING, _SUSPECT, _DYING, to=_STOPPING)
def _end_at_once(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    worker.end()


@_upon(_Inputs.timed_out, _STOPPING, to=_STOPPING)
def _end_by_force(inputs: _Inputs, worker: Subject) -> None:
    worker.kill("exit")


@_upon(_Inputs.exited, _DRAINING, _STOPPING, to=_STOPPED)
def _gone(inputs: _Inputs, worker: Subject, failure: WorkerFailure) -> None:
    worker.lose(failure)
    worker.leave()


@_upon(_Inputs.stop, _WAITING, _FAILED, _STOPPED, to=_STOPPED)
def _never_again(inputs: _Inputs, worker: Subject, drain: float | None) -> None:
    worker.leave()


# What cannot change anything any more.
_ignore(_Inputs.loaded, _DYING, _STOPPING)
_ignore(_Inputs.timed_out, _DYING)
_ignore(_Inputs.stop, _STOPPING)
_ignore(_Inputs.drained, _STOPPING)
_ignore(_Inputs.start, _STARTING, _READY, _SUSPECT, _DYING)
_ignore(_Inputs.went_silent, _STARTING, _DRAINING, _STOPPING, _DYING)
_ignore(_Inputs.heard_again, _STARTING, _DRAINING, _STOPPING, _DYING)

LIFECYCLE = _builder.build()
