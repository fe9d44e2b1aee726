"""The first and last acts of every process that runs a handler."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from modelserver.dialect_rules import DIALECTS
from modelserver.protocol.descriptors import KEPT_FD, LIFELINE_FD, OFFERS_FD, SLOTS_FD, SOCKET_FD
from modelserver.protocol.worker_variables import TERMINAL

_LAST_MOMENT = 1.0
"""Seconds that may pass between the end of the socket and that of the lifeline when the server is killed."""

_FIRST_IN_SHORTAGE = 300
"""Added to the kernel's measure of this process, in thousandths of the memory that it may give."""


def _pass_over(number: int, frame: object) -> None:
    """Go on."""


def begin() -> socket.socket:
    """
    Keep the descriptors from what the handler starts, and write by lines; returns the worker's socket.

    Handlers' log records from level INFO on are lines of the output, the message alone, as in the peers.
    """
    # Not ``SIG_IGN``, which the programs that a handler starts would inherit: an interrupt is to end them.
    signal.signal(signal.SIGINT, _pass_over)
    # What the handler starts shall not hold the socket open.
    for descriptor in (SOCKET_FD, SLOTS_FD, OFFERS_FD, KEPT_FD):
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            pass  # there is no such one
    if TERMINAL in os.environ:
        take_terminal(os.environ[TERMINAL])
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are text streams here
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    return socket.socket(fileno=SOCKET_FD)


def take_terminal(path: str) -> None:
    """Make a terminal the standard streams: a debugger talks to its user there, not to the server's log."""
    try:
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        print(f"The terminal {path} cannot be used: {error.strerror}", file=sys.stderr)
        return
    for number in range(3):
        os.dup2(terminal, number)
    os.close(terminal)


def go_first_in_shortage(path: str = "/proc/self/oom_score_adj") -> None:
    """
    Have the kernel kill this process, or what it starts, rather than the server where memory runs out.

    A worker is started again, and its requests are told why; with the server all of them end.
    """
    try:
        with open(path, "r+b", buffering=0) as file:
            file.write(b"%d" % min(1000, int(file.read()) + _FIRST_IN_SHORTAGE))
    except (OSError, ValueError):
        pass  # no Linux, or a container that does not let it be written


def die_with(lifeline: int) -> int | None:
    """
    Be killed by the kernel when the write end of the pipe ``lifeline`` closes: when the server is gone.

    The leader of a process group is killed with all of it: what a handler has started ends, too.

    The kernel signals the owner of a file description; opening the pipe again gives this process its own,
    which is returned: a process that is forked from this one has no use for it.
    """
    os.set_inheritable(lifeline, False)
    try:
        own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        me = os.getpid()
        fcntl.fcntl(own, fcntl.F_SETOWN, -me if os.getpgrp() == me else me)
        fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    except (OSError, AttributeError):
        # No Linux: the end of the socket is the only sign, seen at the next read.
        return None
    return own


def end_with_server(code: int) -> NoReturn:
    """
    End after the server has closed the socket: it wants that, or is gone itself.

    A server that is killed closes its descriptors one after the other. A leader that left between the socket
    and the lifeline would take the kernel's order to kill the group with it, so the lifeline gets a moment.
    """
    watch = select.poll()
    watch.register(LIFELINE_FD, 0)
    seen = watch.poll(_LAST_MOMENT * 1000)
    if any(event & select.POLLHUP for _, event in seen) and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    end(code)


def announce(dialect: str) -> None:
    """Print what the peers' workers print before they load: tools read it in the logs."""
    print(DIALECTS[dialect].worker_banner % os.getpid())


def end(code: int) -> NoReturn:
    """Leave without waiting for the handler's threads, but with its output written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)
