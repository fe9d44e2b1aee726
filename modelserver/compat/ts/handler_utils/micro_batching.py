"""A batch as a pipeline of micro-batches."""

import queue
import threading
from dataclasses import dataclass

from modelserver.child.handlers.micro_batching import HANDLER_METHODS, MicroBatching
from modelserver.compat.borrowed import borrowed

__all__ = [
    "HANDLER_METHODS",
    "PROFILER_AVAILABLE",
    "MicroBatching",
    "WorkerThread",
    "dataclass",
    "execute_call",
    "queue",
    "threading",
]

PROFILER_AVAILABLE = True
_PAUSE = 0.5


@dataclass
class WorkerThread:
    """A thread of a step, and what tells it to end; the pipeline of this server has threads of its own."""

    event: threading.Event
    thread: threading.Thread


def execute_call(in_queue, out_queue, handle, thread_local_data, event):
    """
    Take ``(number, data)`` from one queue and put ``(number, result)`` into the other, until an event is set.

    :param thread_local_data: gets the number as ``micro_batch_idx`` before ``handle`` is called.
    """
    while not event.is_set():
        try:
            number, data = in_queue.get(timeout=_PAUSE)
        except queue.Empty:
            continue
        thread_local_data.micro_batch_idx = number
        out_queue.put((number, handle(data)))


__getattr__ = borrowed(__name__)
