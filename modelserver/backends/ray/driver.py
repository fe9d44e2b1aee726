"""
The driver: the only process of a server that knows Ray. It has actors started and ended, and nothing else.

It is a child of the server and apart from it, because Ray takes over signals, starts threads and unpickles
what nodes say, none of which may happen in the server. It ends with its socket; Ray ends its actors then.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from typing import NoReturn

from modelserver.backends.ray.driver_words import DRIVER_FD, DriverKind
from modelserver.backends.ray.placing import ClusterView, Placing
from modelserver.backends.ray.token_check import LOCAL, MODE, token_refusal
from modelserver.backends.ray.token_probe import lets_anybody_in
from modelserver.protocol import frames
from modelserver.protocol.documents import text
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame

_LOOKS = 0.02
"""Seconds between two looks at what Ray has done, while something is asked of it."""
_RESTS = 0.25
"""The same while agents run, and nothing else is to be done."""


class Driver:
    """Does what the server asks."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = FrameReader()
        self._view: ClusterView | None = None
        self._placing: dict[int, Placing] = {}

    def run(self) -> None:
        """Work until the server closes the socket."""
        while True:
            wait = None
            watched = [each for each in self._placing.values() if not each.is_over]
            if watched:
                wait = _LOOKS if any(each.is_pending for each in watched) else _RESTS
            if select.select([self._connection], [], [], wait)[0]:
                if not self._reader.fill(self._connection):
                    return
                for frame in self._reader:
                    self._take(frame)
            self._look()

    def _take(self, frame: Frame) -> None:
        if frame.kind == DriverKind.JOIN:
            self._join(text(frames.unpack_json(frame), "address"))
        elif frame.kind == DriverKind.PLACE and self._view is not None:
            self._placing[frame.number] = Placing.of(self._view, frames.unpack_json(frame))
        elif frame.kind == DriverKind.CANCEL:
            placing = self._placing.pop(frame.number, None)
            if placing is not None:
                placing.cancel(frames.unpack_json(frame).get("silent") is True)
        else:
            raise frames.unexpected(frame.kind)

    def _join(self, address: str) -> None:
        refusal = token_refusal(address, os.environ)
        if refusal:
            self._say(DriverKind.UNUSABLE, 0, {"reason": refusal})
            return
        try:
            if address != LOCAL and lets_anybody_in(address, os.environ):
                reason = (
                    f"the cluster at {address} is not joined: it lets in who has no token; start its nodes "
                    f"with {MODE}=token"
                )
                self._say(DriverKind.UNUSABLE, 0, {"reason": reason})
                return
            self._view = ClusterView.join(address)
        except Exception as error:  # whatever Ray raises, the server is told
            self._say(DriverKind.UNUSABLE, 0, {"reason": f"{type(error).__name__}: {error}"})
            return
        self._say(DriverKind.JOINED, 0, {"host": self._view.host})

    def _look(self) -> None:
        """
        Tell what has happened.

        What Ray cannot tell any more of a place ends nothing: the server has a connection to its agent, or
        gives it up. Ray fails the call of an actor whose node it does not reach, and that actor may live.
        """
        for number, placing in self._placing.items():
            if placing.is_over:
                continue
            try:
                news = placing.look()
            except Exception as error:  # whatever Ray raises, the server is told
                news = [(DriverKind.NOT_STARTED, {"reason": f"{type(error).__name__}: {error}"})]
            for kind, document in news:
                self._say(kind, number, document)
                if kind == DriverKind.NOT_STARTED:
                    placing.is_over = True

    def _say(self, kind: DriverKind, number: int, document: dict[str, object]) -> None:
        self._connection.sendall(frames.pack_json(kind, document, number))


def main() -> NoReturn:
    """Run the driver; see the module."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = Driver(socket.socket(fileno=DRIVER_FD))
    try:
        driver.run()
    except (ConnectionError, KeyboardInterrupt):
        pass
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    # Ray's own way out may wait for a cluster that is gone. Actors end with their driver's connection.
    from modelserver.backends.ray.placing import leave

    leave()
    os._exit(0)


if __name__ == "__main__":
    main()
