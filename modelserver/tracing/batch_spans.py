"""The spans of a batch: one for it, which names all its requests, and those of what its worker did."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from modelserver.jobs import Job
from modelserver.spec import WorkerSpec
from modelserver.traces import AttributeValue, FixedAttributes
from modelserver.tracing.job_trace import BATCH, DECODE, HANDLER, QUEUE, JobSpan, JobTrace
from modelserver.tracing.plain_request import LoneCall
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.worker_times import CallTimes

Traced = tuple[Job, JobTrace]


def worker_attributes(worker: WorkerSpec) -> dict[str, AttributeValue]:
    """Return what tells a worker from others."""
    return _worker_attributes(worker.version.name, worker.version.version, worker.id, worker.gpu_id)


def _worker_attributes(name: str, version: str, worker: str, gpu: int | None) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {
        "modelserver.model.name": name,
        "modelserver.model.version": version,
        "modelserver.worker.id": worker,
    }
    if gpu is not None:
        found["modelserver.gpu.id"] = gpu
    return found


def batch_attributes(worker: WorkerSpec, size: int) -> FixedAttributes:
    """Return what is said of a batch of so many requests; the same object for the same values."""
    version = worker.version
    return _batch_attributes(version.name, version.version, worker.id, worker.gpu_id, size)


@lru_cache(maxsize=1024)
def _batch_attributes(name: str, version: str, worker: str, gpu: int | None, size: int) -> FixedAttributes:
    attributes = _worker_attributes(name, version, worker, gpu)
    return FixedAttributes({**attributes, "modelserver.batch.size": size})


def spans_of_one(traced: Traced, worker: WorkerSpec, now: float, handler: float) -> None:
    """
    Add the spans of a job that was a batch by itself: the batch is a part of its request.

    :param handler: seconds in the handler, for a worker that tells no times.
    """
    job, notes = traced
    attributes = batch_attributes(worker, 1)
    if notes.keep(job, now, attributes):
        notes.answered(now)
        return
    notes.left_queue(job)
    batch = notes.left_worker(job, now, attributes, links=(notes.span.context,))
    times = notes.times or estimated(job.assigned, now, handler)
    if times.attributes:
        _note_all(times, [(0, notes)])
    add_steps(notes.span, batch, times, notes.handler)
    notes.answered(now)


def add_lone_call(span: JobSpan, call: LoneCall) -> None:
    """Add the spans of a job that was a batch by itself, and was kept until now."""
    span.add(QUEUE, (call.since, call.assigned))
    whole = call.assigned, call.answered
    batch = span.add(BATCH, whole, call.attributes, links=(span.context,))
    add_steps(span, batch, CallTimes((call.begun, call.called), (call.called, call.returned)), call.handler)


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
    attributes = batch_attributes(worker, size)
    batch.note(attributes)
    times = members[0][2].times or estimated(members[0][1].assigned, now, handler)
    for _, job, notes in members:
        notes.left_queue(job)
        own = notes.left_worker(job, now, attributes, links=(batch.context,))
        notes.span.add(HANDLER, times.handler, context=notes.handler, parent=own)
        notes.answered(now)
    if times.attributes:
        _note_all(times, [(place, notes) for place, _, notes in members])
    add_steps(batch, batch.context, times, None)


def estimated(assigned: float, now: float, handler: float) -> CallTimes:
    """Return the times of a call of which only is known how long it took: it has just ended."""
    return CallTimes(None, (max(assigned, now - handler), now))


def add_steps(span: JobSpan, batch: SpanContext, times: CallTimes, handler: SpanContext | None) -> None:
    """
    Add what a worker did in a call.

    :param batch: the part that it is a part of.
    :param handler: what names the handler's call, if that was known before.
    """
    if times.decode is not None:
        span.add(DECODE, times.decode, parent=batch)
    call = span.add(HANDLER, times.handler, times.failed, context=handler, parent=batch)
    contexts: list[SpanContext] = []
    for step in times.steps:
        parent = call if step.inside < 0 else contexts[step.inside]
        contexts.append(span.add(step.name, (step.begun, step.ended), step.attributes, parent=parent))


def _note_all(times: CallTimes, members: Sequence[tuple[int, JobTrace]]) -> None:
    """Have each request keep what the handler says of it, and what it says of all."""
    for place, notes in members:
        for key in (-1, place):
            if key in times.attributes:
                notes.span.note(times.attributes[key])
