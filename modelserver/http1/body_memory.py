"""How much memory the bodies of requests may take together."""

from __future__ import annotations

from attrs import field

from modelserver.language.attributes import define


@define(eq=False)
class BodyMemory:
    """
    A number of bytes that requests share, from the time they arrive until the request is answered.

    A body that came in one piece with its head is not counted: it is small, and was read already.

    :param limit: bytes; 0: any number.
    """

    limit: int = 0
    used: int = field(default=0, init=False)

    @property
    def free(self) -> float:
        """The share that is free, from 1 to 0."""
        return max(0.0, 1 - self.used / self.limit) if self.limit else 1.0

    def take(self, size: int) -> bool:
        """Claim ``size`` bytes; whether they were free."""
        if self.limit and self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """They are free again."""
        self.used -= size
