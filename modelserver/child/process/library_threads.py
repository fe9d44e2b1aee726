"""The threads of numpy's and other libraries in a worker that was forked with the libraries loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

OPENMP, OPENBLAS = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"
_SETTERS = (
    (
        "openblas",
        (OPENBLAS, OPENMP),
        (
            "openblas_set_num_threads",
            "openblas_set_num_threads64_",
            "scipy_openblas_set_num_threads",
            "scipy_openblas_set_num_threads64_",
        ),
    ),
    ("gomp", (OPENMP,), ("omp_set_num_threads",)),
    ("iomp5", (OPENMP,), ("omp_set_num_threads",)),
    ("libomp", (OPENMP,), ("omp_set_num_threads",)),
)
"""What the file of a library is called, which variables it reads when it is loaded, and its functions."""


def wanted_threads(
    names: Iterable[str] = (OPENMP,), environment: Mapping[str, str] = os.environ
) -> int | None:
    """Return the number that the first of these variables says that is set, or None."""
    for name in names:
        text = environment.get(name, "").partition(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return int(text)
    return None


def set_library_threads() -> None:
    """
    Give the libraries that are loaded the threads that they would have read from the environment.

    A template holds them to one, for a pool of threads does not survive a fork; a worker has its own number.
    """
    loaded, processors = _loaded_libraries(), len(os.sched_getaffinity(0))
    for word, variables, functions in _SETTERS:
        count = wanted_threads(variables) or processors
        if word == "openblas":
            count = min(count, processors)  # as it does itself when it is loaded
        for path in (path for path in loaded if word in os.path.basename(path)):
            _call(path, functions, count)


def _call(path: str, functions: Iterable[str], count: int) -> None:
    import ctypes

    try:
        library = ctypes.CDLL(path)  # the one that is loaded already
    except OSError:
        return
    for name in functions:
        function = getattr(library, name, None)
        if function is not None:
            function(ctypes.c_int(count))
            return


def _loaded_libraries() -> list[str]:
    """The paths of libraries of which this process has some code in its memory."""
    paths: dict[str, None] = {}
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            path = line.rstrip("\n").partition("/")[2]
            if ".so" in path:
                paths[f"/{path}"] = None
    return list(paths)
