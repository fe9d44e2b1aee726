"""Listening sockets that a service manager has bound (socket activation: LISTEN_FDS)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, MutableMapping
from itertools import count

from modelserver.config.address import Address
from modelserver.language.attributes import define
from modelserver.system.left_out import without
from modelserver.system.orphans import variable_of

_Name = str | tuple[str, int]

_FIRST = 3
"""The first descriptor that a manager passes: sd_listen_fds(3)."""


class SocketUnwanted(Exception):
    """The manager listens where the configuration does not."""


@define(eq=False)
class InheritedSockets:
    """
    Owns the sockets until listeners take them.

    Each is for the listener that the configuration has at its address: what is served where, with TLS or
    without, and who may reach it is said in one place, the configuration.
    """

    _sockets: dict[_Name, socket.socket]

    @classmethod
    def adopt(cls, descriptors: Iterable[int]) -> InheritedSockets:
        """
        Own the sockets that these descriptors are; what the server starts does not get them.

        :raises SocketUnwanted: there is one that clients cannot connect to.
        """
        found: dict[_Name, socket.socket] = {}
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            try:
                listening = socket.socket(fileno=descriptor)
            except OSError as why:
                raise SocketUnwanted(f"descriptor {descriptor} was passed, which is no socket") from why
            if listening.type != socket.SOCK_STREAM:
                with listening:
                    name = _text(_name_of(listening))
                raise SocketUnwanted(
                    f"a socket was passed for {name} that takes no connections (ListenStream)"
                )
            found[_name_of(listening)] = listening
        return cls(found)

    def take(self, address: Address) -> socket.socket | None:
        """Return the socket at an address, or None; it is the caller's."""
        for name in _names_of(address) if self._sockets else ():
            if name in self._sockets:
                return self._sockets.pop(name)
        return None

    def require_none(self, port: int | None = None) -> None:
        """
        Refuse sockets that no listener has taken: clients would wait there forever.

        :param port: that of a listener which cannot be bound; only sockets there matter, of other interfaces.
        :raises SocketUnwanted: there are such.
        """
        left = [name for name in self._sockets if port is None or name[1:] == (port,)]
        if left:
            names = ", ".join(map(_text, left))
            raise SocketUnwanted(f"a socket was passed for {names}, where the configuration has no listener")


def passed_descriptors(reactor: object, environment: MutableMapping[str, str]) -> Iterator[int]:
    """
    Give the descriptors that the manager has passed to this process, and remove its variables.

    Twisted is asked: its endpoints have read two of the three variables, and removed them, when they were
    imported. Where the sockets have no names (systemd-socket-activate) it does not know them.
    """
    names = environment.get("LISTEN_FDNAMES", "")
    if names:
        # Loaded only here, while the variables are still there.
        with without("OpenSSL"):
            from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
    for name in ("LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID"):
        environment.pop(name, None)
    if not names:
        yield from _nameless()
        return
    for index in count():
        try:
            endpoint = serverFromString(reactor, f"systemd:domain=INET:index={index}")  # type: ignore[no-untyped-call]  # Twisted's
        except IndexError:
            return
        assert isinstance(endpoint, AdoptedStreamServerEndpoint)
        yield endpoint.fileno


def _nameless() -> Iterable[int]:
    """Return the descriptors as the variables tell them that this process's program was started with."""
    process = os.getpid()
    passed = variable_of(process, "LISTEN_FDS") or ""
    if variable_of(process, "LISTEN_PID") != str(process) or not (passed.isascii() and passed.isdecimal()):
        return ()
    return range(_FIRST, _FIRST + int(passed))


def _name_of(listening: socket.socket) -> _Name:
    bound = listening.getsockname()
    return bound if isinstance(bound, str) else (bound[0], bound[1])


def _names_of(address: Address) -> list[_Name]:
    """Return what a socket may be bound to that listens on an address; a name may mean several."""
    if address.scheme == "unix":
        return [address.unix_path]
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(str(each[4][0]), address.port) for each in found]


def _text(name: _Name) -> str:
    return name if isinstance(name, str) else str(Address("", *name)).removeprefix("://")
