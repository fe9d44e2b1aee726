"""A batch cut into micro-batches that go through the steps of a handler as in a pipeline."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

from modelserver.child.data.refusals import RowsRefused
from modelserver.child.handlers.timing import emit_time

if TYPE_CHECKING:
    from modelserver.child.context import Context

HANDLER_METHODS = ["preprocess", "inference", "postprocess"]


class MicroBatching:
    """
    Stands in for a handler's ``handle``: while one micro-batch is in a step, the next is in the step before.

    Threads start with the first batch, so that a loaded handler may still be forked.

    :param parent_handler: has the steps.
    :param micro_batch_size: rows in a micro-batch; the last one may have fewer.
    :param parallelism: threads for each step, 1 unless said.
    """

    def __init__(
        self, parent_handler: Any, micro_batch_size: int = 1, parallelism: Mapping[str, int] | None = None
    ) -> None:
        self.handler = parent_handler
        self.micro_batch_size = micro_batch_size
        self._parallelism: dict[str, int] = {}
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._local = threading.local()
        self.parallelism = dict(parallelism or {})

    def __del__(self) -> None:
        self.shutdown()

    @property
    def parallelism(self) -> dict[str, int]:
        """Threads for each step that was named so far; setting it lets the old ones end."""
        return dict(self._parallelism)

    @parallelism.setter
    def parallelism(self, parallelism: Mapping[str, int]) -> None:
        for step, threads in parallelism.items():
            if step not in HANDLER_METHODS or type(threads) is not int or threads < 1:
                raise ValueError(
                    f"parallelism is {', '.join(HANDLER_METHODS)}: threads; not {step}: {threads!r}"
                )
        self.shutdown()
        self._parallelism |= parallelism

    def shutdown(self) -> None:
        """Let the threads end; they start again with the next batch."""
        pools, self._pools = getattr(self, "_pools", {}), {}
        for pool in pools.values():
            pool.shutdown(wait=False)

    def get_micro_batch_idx(self) -> int | None:
        """Which micro-batch the calling thread has in hand, counted from 0; None for threads of others."""
        return getattr(self._local, "index", None)

    def __call__(self, data: Sequence[object], context: Context) -> Any:
        started = time.perf_counter()
        self.handler.context = context
        if self._is_asked("_is_describe") or self._is_asked("_is_explain"):
            # These are no work for a pipeline: the handler's class knows how to answer them.
            return type(self.handler).handle(self.handler, data, context)
        answers = self.handle(data)
        emit_time(context, "HandlerTime", started)
        return answers

    def _is_asked(self, question: str) -> bool:
        ask = getattr(self.handler, question, None)
        return ask is not None and bool(ask())

    def handle(self, data: Sequence[object]) -> list[Any]:
        """
        The answers of all rows in order.

        An exception of a step comes out of here, once no thread has anything of the batch in hand.

        :raises RowsRefused: a step refused rows; the places are those in the batch.
        """
        self._start()
        size = self.micro_batch_size
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        results: list[Future[Any]] = [Future() for _ in parts]
        for index, (part, result) in enumerate(zip(parts, results, strict=True)):
            self._submit(0, index, part, result)
        wait(results)
        _raise_refusals(results, [len(part) for part in parts])
        return [answer for result in results for answer in result.result()]

    def _start(self) -> None:
        if not self._pools:
            self._pools = {
                step: ThreadPoolExecutor(self._parallelism.get(step, 1), f"micro-batching-{step}")
                for step in HANDLER_METHODS
            }

    def _submit(self, step: int, index: int, value: Any, result: Future[Any]) -> None:
        self._pools[HANDLER_METHODS[step]].submit(self._run, step, index, value, result)

    def _run(self, step: int, index: int, value: Any, result: Future[Any]) -> None:
        self._local.index = index
        try:
            value = getattr(self.handler, HANDLER_METHODS[step])(value)
            if step + 1 < len(HANDLER_METHODS):
                self._submit(step + 1, index, value, result)
            else:
                result.set_result(value)
        except BaseException as error:  # it belongs to whoever waits for the batch
            result.set_exception(error)


def _raise_refusals(results: Sequence[Future[Any]], sizes: Sequence[int]) -> None:
    """
    Put what the steps refused of their micro-batches together.

    :raises RowsRefused: they refused something, and nothing worse has happened.
    """
    errors = [result.exception() for result in results]
    if not any(isinstance(error, RowsRefused) for error in errors):
        return
    refusals: dict[int, str | Exception] = {}
    groups: list[list[int]] = []
    rest: list[int] = []
    start = 0
    for error, size in zip(errors, sizes, strict=True):
        if isinstance(error, RowsRefused):
            of_part = [[start + place for place in group] for group in error.groups(size)]
            refusals |= {start + place: told for place, told in error.refusals.items()}
            if len(of_part) > 1:
                groups += of_part
            else:
                rest += [place for group in of_part for place in group]
        elif error is not None:
            return
        else:
            rest += range(start, start + size)
        start += size
    raise RowsRefused(refusals, groups=[rest, *groups])
