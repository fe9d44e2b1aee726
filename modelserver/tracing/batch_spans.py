"""The spans of a batch: one for it, which names all its requests, and those of what its worker did."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.jobs import Job
from modelserver.spec import WorkerSpec
from modelserver.traces import AttributeValue
from modelserver.tracing.job_trace import JobSpan, JobTrace
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import NO_ATTRIBUTES
from modelserver.tracing.worker_times import HANDLER, CallTimes, Step

Traced = tuple[Job, JobTrace]


def worker_attributes(worker: WorkerSpec) -> dict[str, AttributeValue]:
    """Return what tells a worker from others."""
    found: dict[str, AttributeValue] = {
        "modelserver.model.name": worker.version.name,
        "modelserver.model.version": worker.version.version,
        "modelserver.worker.id": worker.id,
    }
    if worker.gpu_id is not None:
        found["modelserver.gpu.id"] = worker.gpu_id
    return found


def spans_of_one(traced: Traced, worker: WorkerSpec, now: float, handler: float) -> None:
    """
    Add the spans of a job that was a batch by itself: the batch is a part of its request.

    :param handler: seconds in the handler, for a worker that tells no times.
    """
    job, notes = traced
    attributes = {**worker_attributes(worker), "modelserver.batch.size": 1}
    notes.left_queue(job)
    batch = notes.left_worker(job, now, attributes, links=[notes.span.context])
    times = notes.times or estimated(job.assigned, now, handler)
    _note_all(times, [(0, notes)])
    add_steps(notes.span, batch, times.steps, notes.handler)
    notes.answered(now)


def spans_of_batch(
    members: Sequence[tuple[int, Job, JobTrace]],
    batch: JobSpan,
    worker: WorkerSpec,
    size: int,
    answered: tuple[float, float],
) -> None:
    """
    Add the spans of a batch of several requests: it has a trace of its own, and each request names it.

    :param members: those that are traced, each with its place in the batch.
    :param batch: the open span of the batch.
    :param size: how many requests it had.
    :param answered: when the answers came, and the seconds in the handler.
    """
    now, handler = answered
    attributes = {**worker_attributes(worker), "modelserver.batch.size": size}
    batch.note(attributes)
    times = members[0][2].times or estimated(members[0][1].assigned, now, handler)
    call = next((step for step in times.steps if step.name == HANDLER), None)
    for _, job, notes in members:
        notes.left_queue(job)
        own = notes.left_worker(job, now, attributes, links=[batch.context])
        if call is not None:
            notes.add_handler(own, (call.begun, call.ended), NO_ATTRIBUTES)
        notes.answered(now)
    _note_all(times, [(place, notes) for place, _, notes in members])
    add_steps(batch, batch.context, times.steps, None)


def estimated(assigned: float, now: float, handler: float) -> CallTimes:
    """Return the times of a call of which only is known how long it took: it has just ended."""
    return CallTimes((Step(HANDLER, max(assigned, now - handler), now),), {})


def add_steps(span: JobSpan, batch: SpanContext, steps: Sequence[Step], handler: SpanContext | None) -> None:
    """
    Add what a worker did in a call.

    :param batch: the part that it is a part of.
    :param handler: what names the handler's call, if that was known before.
    """
    contexts: list[SpanContext] = []
    for step in steps:
        is_call = step.name == HANDLER and step.inside < 0
        context = span.add(
            step.name,
            (step.begun, step.ended),
            step.attributes,
            context=handler if is_call else None,
            parent=batch if step.inside < 0 else contexts[step.inside],
        )
        contexts.append(context)
        if is_call:
            handler = None  # of several calls, the first


def _note_all(times: CallTimes, members: Sequence[tuple[int, JobTrace]]) -> None:
    """Have each request keep what the handler says of it, and what it says of all."""
    for place, notes in members:
        for key in (-1, place):
            if key in times.attributes:
                notes.span.note(times.attributes[key])
