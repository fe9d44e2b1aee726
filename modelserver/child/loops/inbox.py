"""What the server says to a worker while a batch is in hand: of its clients, and of further batches."""

from __future__ import annotations

import socket
from collections import deque

from modelserver.child.failures import ClientsGone
from modelserver.child.loops.wait import Glance
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame


class Inbox:
    """
    Takes in frames in the middle of a batch, and remembers them.

    ``ahead`` has the batches that came meanwhile, in order; ``gone`` has the number of the batch, and the
    place in it, of each client that has left; ``stopped`` is the number of the batch whose clients can take
    no more parts at present, or None; ``heard`` is how many times the server has said such a thing.
    """

    __slots__ = ("_connection", "_glance", "_reader", "ahead", "gone", "heard", "stopped")

    def __init__(self, connection: socket.socket, reader: FrameReader) -> None:
        self._connection = connection
        self._glance = Glance(connection)
        self._reader = reader
        self.ahead: deque[Frame] = deque()
        self.gone: set[tuple[int, int]] = set()
        self.stopped: int | None = None
        self.heard = 0

    def note(self, frame: Frame) -> None:
        """
        Remember what the server says about clients; about a batch that is answered it does not matter.

        :raises FrameError: the frame says something else.
        """
        self.heard += 1
        if frame.kind == frames.CANCEL:
            self.gone.add((frame.number, frame.items))
        elif frame.kind == frames.CREDIT:
            self.stopped = None if frame.items else frame.number
        else:
            raise frames.unexpected(frame.kind)

    def hear(self, wait: bool) -> None:
        """
        Take in and remember what the server has said by now.

        :param wait: block until it says something.
        :raises ClientsGone: the server has closed the socket.
        """
        for frame in self.listen(wait):
            self.note(frame)

    def listen(self, wait: bool) -> list[Frame]:
        """
        Take in what the server has said by now; batches go to ``ahead``, the other frames are returned.

        :param wait: block until it says something.
        :raises ClientsGone: the server has closed the socket.
        """
        try:
            if not self._reader.fill(self._connection if wait else self._glance):
                raise ClientsGone("the server has closed the socket")
        except BlockingIOError:
            pass
        others = []
        for frame in self._reader:
            if frame.kind == frames.BATCH:
                # The reader's buffer is needed for what follows.
                self.ahead.append(frame._replace(payload=memoryview(bytes(frame.payload))))
            else:
                others.append(frame)
        return others
