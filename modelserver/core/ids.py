"""Ids of workers, which are numbers that are never used again, and random bytes for ids of requests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from struct import Struct

from attrs import field

from modelserver.language.attributes import define
from modelserver.spec import VersionSpec

BLOCK = 4096
"""Bytes that are drawn from the system at once."""


@define(eq=False)
class WorkerNumbers:
    """
    Counts workers from two ends, as TorchServe does.

    :param plain: the next id of a worker that is one process.
    :param parallel: of one that spans devices; it takes as many numbers as its parallel level.
    """

    plain: int = 9000
    parallel: int = 29500

    def take(self, spec: VersionSpec) -> str:
        """Return the id of one more worker of this version."""
        if spec.devices.parallel_level > 0:
            number = self.parallel
            self.parallel += spec.devices.parallel_level
        else:
            number = self.plain
            self.plain += 1
        return str(number)


@define(eq=False)
class Entropy:
    """
    Gives random bytes, each byte once: a call for each id would be a system call for each request.

    Asked by a method, since an object that is itself called takes twice as long.

    :param source: ``os.urandom``.
    """

    source: Callable[[int], bytes]
    _block: bytes = field(default=b"", init=False)
    _position: int = field(default=0, init=False)

    def take(self, size: int) -> bytes:
        """``size`` bytes that nobody had before."""
        start, end = self._position, self._position + size
        if end > len(self._block):
            self._block, start, end = self.source(max(BLOCK, size)), 0, size
        self._position = end
        return self._block[start:end]


def ids_from(source: Callable[[int], bytes], size: int) -> Callable[[], bytes]:
    """
    Return what gives ids of so many random bytes, each once; no code in Python runs for nearly all of them.

    :param source: ``os.urandom``.
    """
    block = Struct(f"{size}s" * (BLOCK // size))
    return chain.from_iterable(iter(lambda: block.unpack(source(block.size)), ())).__next__
