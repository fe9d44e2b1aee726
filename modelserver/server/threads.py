"""
The threads of the server process: a pool for each kind of blocking work, so that no kind waits for another.

Names of hosts are resolved in the reactor's own pool, as Twisted does it; nothing else is done there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

from twisted.internet.defer import Deferred, fail
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from modelserver.errors import InternalError
from modelserver.interfaces import InThread
from modelserver.language.attributes import frozen

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LIMITS = "the limit on processes and threads is reached (ulimit -u, or pids.max of the container)"
ARCHIVES, SAMPLES, FILES = 10, 4, 4
"""How many threads each kind may have; what is more waits for one of its kind."""


class _NotWaitedFor(threading.Thread):
    """A thread whose work may not end, and need not be finished."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(daemon=True, **arguments)

    def join(self, timeout: float | None = None) -> None:
        """Do not wait: the pool that has started this thread is closed, and the process ends."""


@frozen(eq=False)
class Threads:
    """
    Runs functions that block.

    :param archives: fetching, hashing, unpacking and removing, which may take minutes.
    :param samples: looks at processes, devices and the host, for descriptions and metrics.
    :param files: reading and writing small files: snapshots, keys, entries of the model store.
    """

    archives: InThread
    samples: InThread
    files: InThread

    @classmethod
    def of(cls, reactor: PosixReactorBase) -> Threads:
        """Make the pools; their threads are started as they are needed, and end with the reactor."""
        # A name server that does not answer would hold up the end of this process.
        reactor.getThreadPool().threadFactory = cast(type[threading.Thread], _NotWaitedFor)
        return cls(
            archives=_pool(reactor, "archives", ARCHIVES),
            samples=_pool(reactor, "samples", SAMPLES),
            files=_pool(reactor, "files", FILES),
        )


def _pool(reactor: PosixReactorBase, name: str, most: int) -> InThread:
    pool = ThreadPool(0, most, name)
    reactor.callWhenRunning(pool.start)
    reactor.addSystemEventTrigger("during", "shutdown", pool.stop)
    return partial(_run, reactor, pool)


def _run(
    reactor: PosixReactorBase,
    pool: ThreadPool,
    function: Callable[Arguments, Result],
    /,
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Deferred[Result]:
    try:
        return deferToThreadPool(reactor, pool, function, *arguments, **named)
    except RuntimeError as error:  # the system has refused one more, for which the pool would wait at its end
        pool.threads = [thread for thread in pool.threads if thread.ident is not None]
        return fail(InternalError(f"{error}: {LIMITS}"))
