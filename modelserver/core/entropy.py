"""Random bytes for request ids, drawn from the system in blocks."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

BLOCK = 4096


@define(eq=False)
class Entropy:
    """
    Gives random bytes, each byte once: a call for each id would be a system call for each request.

    :param source: ``os.urandom``.
    """

    source: Callable[[int], bytes]
    _block: bytes = field(default=b"", init=False)
    _position: int = field(default=0, init=False)

    def __call__(self, size: int) -> bytes:
        """``size`` bytes that nobody had before."""
        start, end = self._position, self._position + size
        if end > len(self._block):
            self._block, start, end = self.source(max(BLOCK, size)), 0, size
        self._position = end
        return self._block[start:end]
