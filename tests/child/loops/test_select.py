"""A worker says that it is ready when everything is there, and serves then."""

import socket

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context
from modelserver.child.loops.select import serve
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from tests.harness.loops import Data, loaded


class Serve(SynchronousTestCase):
    """A loop of which only the moment matters."""

    def test_worker_is_ready_once_its_loop_is_made_and_before_it_reads(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        ours.setblocking(False)
        seen: list[bytes] = []

        context = Context("m", "/nowhere", None, 1, None, "1")

        def handle(data: Data, context: Context) -> object:
            raise AssertionError("nothing is asked")

        class Looks:
            def __init__(self, connection: socket.socket) -> None:
                connection.sendall(b"made")

            def run(self) -> None:
                seen.append(ours.recv(100))
                raise EOFError

        with self.assertRaises(EOFError):
            serve(Looks(theirs), loaded(theirs, FrameReader(), handle, context))
        self.assertEqual([b"made" + frames.pack_bare(frames.LOADED)], seen)
