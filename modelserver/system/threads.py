"""How many threads of computation each worker gets, so that all of them fit the processors."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.language.attributes import frozen

OPENMP = "OMP_NUM_THREADS"
COUNTS = (OPENMP, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Variables of the libraries that torch and numpy compute with; the others follow the first."""
WAITING = "OMP_WAIT_POLICY"
"""How idle threads of OpenMP wait for work: ``passive`` lets others have the processor at once."""


@frozen
class ProcessorShare:
    """
    What a worker may use that is started now.

    :param processors: those that this machine, or its control group, can keep busy.
    :param workers: those of the whole server.
    """

    processors: float
    workers: int

    @property
    def threads(self) -> int:
        """The threads of each worker, at least one."""
        return max(1, int(self.processors // max(1, self.workers)))

    def is_crowded(self, threads: int) -> bool:
        """Return whether so many threads in each worker are more than the processors can run."""
        return threads * max(1, self.workers) > self.processors


def thread_variables(share: ProcessorShare, inherited: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables that a worker gets besides those that it inherits.

    What somebody has set stays; a number for OpenMP holds for the other libraries, too.
    """
    variables = {}
    if OPENMP not in inherited:
        variables = {name: str(share.threads) for name in COUNTS if name not in inherited}
    threads = number_of_threads({**inherited, **variables})
    if threads is not None and share.is_crowded(threads) and WAITING not in inherited:
        variables[WAITING] = "passive"
    return variables


def number_of_threads(environment: Mapping[str, str]) -> int | None:
    """Return the threads that an environment gives to OpenMP, None if it does not say."""
    first = environment.get(OPENMP, "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None
