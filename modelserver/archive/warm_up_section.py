"""The section ``warmup`` of ``model-config.yaml``: what a model is called with before it is ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_KEYS = ("shapes", "dtype", "file", "batchSizes", "calls")


class WarmUp(NamedTuple):
    """
    What is called before a model is ready.

    :param shapes: those of one row's inputs, without the batch.
    :param file: an example in the archive: tensors of one row (``.pt``), or the body of one request.
    :param calls: of each batch size; None: until they are as fast as they get.
    """

    shapes: Sequence[Sequence[int]]
    dtype: str
    file: str | None
    batch_sizes: Sequence[int]
    calls: int | None

    def require_file(self, folder: str | Path) -> None:
        """
        Go on if the file is there, or none is named.

        :param folder: of the unpacked archive.
        :raises ValueError: it is not there.
        """
        if self.file is not None and not Path(folder, self.file).is_file():
            raise ValueError(f"warmup: file names {self.file}, which is not in the archive")


def read_warm_up(section: Mapping[str, object], batch_size: int | None) -> WarmUp:
    """
    Read the section; batches of one and of ``batch_size`` unless it says others.

    :raises ValueError: it cannot be understood.
    """
    unknown = set(section) - set(_KEYS)
    if unknown:
        raise ValueError(f"warmup has {', '.join(_KEYS)}; not {', '.join(sorted(map(str, unknown)))}")
    shapes, file = section.get("shapes"), section.get("file")
    if (shapes is None) == (file is None):
        raise ValueError("warmup needs shapes or file, one of them")
    if file is not None and not isinstance(file, str):
        raise ValueError(f"warmup: file is a name in the archive, not {file!r}")
    sizes: Any = section.get("batchSizes", sorted({1, batch_size or 1}))
    calls: Any = section.get("calls")
    if not _are_sizes(sizes, 1) or not (calls is None or _are_sizes([calls], 1)):
        raise ValueError(f"warmup: batchSizes and calls are above 0, not {sizes!r} and {calls!r}")
    if shapes is not None and not (
        isinstance(shapes, list) and shapes and all(_are_sizes(s, 0) for s in shapes)
    ):
        raise ValueError(f"warmup: shapes is a list of shapes, one for each input, not {shapes!r}")
    return WarmUp(shapes or (), str(section.get("dtype", "float32")), file, sizes, calls)


def _are_sizes(values: object, least: int) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= least for value in values)
