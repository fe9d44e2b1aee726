"""What a service manager (systemd) is told by the process that it has started: sd_notify(3).

The protocol is one datagram of lines ``NAME=value``; systemd promises to keep it as it is.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from modelserver.language.attributes import frozen

_MICROSECONDS = 1_000_000


@frozen
class ServiceManager:
    """
    The socket of the manager.

    :param address: a path, or an abstract name that begins with ``@``.
    :param watchdog: seconds after which the manager ends a process that says nothing, or None.
    """

    address: str
    watchdog: float | None = None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> ServiceManager | None:
        """
        Return the manager that has started this process, or None.

        Its variables are removed: what this process starts must not speak for it.
        """
        address = environment.pop("NOTIFY_SOCKET", "")
        interval = environment.pop("WATCHDOG_USEC", "")
        watched = environment.pop("WATCHDOG_PID", "") or str(os.getpid())
        if not address.startswith(("/", "@")):
            return None
        is_watched = interval.isascii() and interval.isdecimal() and watched == str(os.getpid())
        seconds = int(interval) / _MICROSECONDS if is_watched else 0.0
        return cls(address, seconds or None)

    def tell(self, **values: str) -> None:
        """
        Say something, at once or not at all.

        :raises OSError: there is no such socket, or it is full.
        """
        lines = "\n".join(f"{name}={value}" for name, value in values.items())
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(lines.encode("utf-8"), address)
