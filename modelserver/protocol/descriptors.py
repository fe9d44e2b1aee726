"""
Numbers of the descriptors that a worker process inherits beside its standard streams.

A rank of a parallel worker receives the first three from its launcher instead, since torchrun does not let it
inherit them, and puts them where they belong. A worker that is forked has them from its template; its socket
is new.
"""

from __future__ import annotations

SOCKET_FD = 3
"""The worker's end of its socket to the server."""
LIFELINE_FD = 4
"""The read end of a pipe whose write end the server holds for as long as it lives."""
SLOTS_FD = 5
"""The shared memory for large bodies; not open where there is none."""
OFFERS_FD, KEPT_FD = 6, 7
"""The worker's end of ``modelserver.protocol.ahead``, where its LOAD frame says ``ahead``."""
FIRST_RANK_FD = 8
"""In the launcher of a parallel worker: the socket of its first rank; those of the others follow."""

FORK_DESCRIPTORS = 3
"""How many descriptors come with a FORK frame: the new worker's socket, its stdout and its stderr."""
AHEAD_DESCRIPTORS = 2
"""How many follow these where the FORK frame says ``ahead``."""
