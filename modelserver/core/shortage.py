"""What a client is told where memory is short."""

from __future__ import annotations

from modelserver.errors import ServingError
from modelserver.language.attributes import frozen


@frozen
class MemoryShort(ServingError):
    """
    There is no room for a worker, and nothing that could leave.

    :param needed: bytes that were asked for.
    :param reserved: bytes that are set aside already, of ``limit``.
    :param is_seen: what is needed was measured; else it was told from the size of the archive.
    :param place: what has too little memory.
    :param retry_after: seconds after which there may be room; 0: there never will be.
    """

    model: str
    version: str
    needed: int
    reserved: int
    limit: int
    is_seen: bool = False
    place: str = "model_memory_limit"
    retry_after: float = 0.0

    def __str__(self) -> str:
        return f"Model {self.model!r} version {self.version} {self.figures}, and no idle model can leave."

    @property
    def figures(self) -> str:
        """What is needed, and what there is of what is short."""
        source = "as measured" if self.is_seen else "by the size of its archive"
        return (
            f"needs {self.needed} bytes ({source}); "
            f"{self.reserved} of the {self.limit} bytes of {self.place} are reserved"
        )
