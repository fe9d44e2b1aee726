"""What the peers' modules hold for their Java server, or for an engine that is no part of this server."""

from __future__ import annotations

from typing import Any, NoReturn

JAVA = "it is run by the peer's Java server; workers of this server are started by the server itself"


def only_there(name: str, why: str = JAVA) -> Any:
    """
    Return a function that says that it cannot be called here.

    It can be imported, for handlers import it together with other names.
    """

    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise NotImplementedError(f"{name} is not part of this server: {why}.")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


class OnlyThere:
    """The base of classes that cannot be made here."""

    why = JAVA

    def __init__(self, *arguments: object, **named: object) -> None:
        raise NotImplementedError(f"{type(self).__name__} is not part of this server: {self.why}.")
