"""What must be there before a worker can start on a node: its files, its command, its environment."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread

from modelserver.backends.ray.node_files import Fetch, FileCache, FilesInvalid, is_shared
from modelserver.backends.ray.wire import NodeKind
from modelserver.protocol import frames
from modelserver.protocol.documents import mapping, text, whole
from modelserver.protocol.worker_start import WORKER, start_command

Ready = tuple[list[str], dict[str, str], bytes, int]
"""Command, environment, the first frame of a worker, and the largest frame that it may send."""

_CLUSTER = "RAY_"
"""What variables begin with that are the cluster's own; its token is one of them."""


class NodeSetup:
    """
    Brings together what one worker needs.

    What goes wrong is raised by ``advance``, whenever it was found.

    :param say: tells the server what is missing.
    """

    def __init__(self, cache: FileCache, say: Callable[[NodeKind, Mapping[str, object]], None]) -> None:
        self._cache, self._say = cache, say
        self._start: Mapping[str, object] | None = None
        self._folder: str | None = None
        self._digest, self._size = "", 0
        self._fetch: Fetch | None = None
        self._unpacking: Thread | None = None
        self._problem: BaseException | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether there is a worker to be started."""
        return self._start is not None

    def begin(self, start: Mapping[str, object]) -> None:
        """Take what the server says of the worker, and look whether its files can be seen here."""
        self._start = start
        probe = mapping(start, "probe")
        folder = text(mapping(start, "load"), "folder")
        if is_shared(text(probe, "path"), text(probe, "sha256")) and os.path.isdir(folder):
            self._folder = folder
        elif start.get("is_bound"):
            self._problem = FilesInvalid(
                "its requirements are installed on the server's machine, whose files this node does not see"
            )
        else:
            self._say(NodeKind.NEED, {})

    def offered(self, offer: Mapping[str, object]) -> None:
        """Take what the server says of the model's files."""
        self._digest, self._size = text(offer, "digest"), whole(offer, "size") or 0

    def arrived(self, piece: memoryview, is_last: bool) -> None:
        """Take a piece of the files."""
        if self._fetch is None or self._problem is not None:
            return
        try:
            self._fetch.take(piece)
        except (OSError, FilesInvalid) as error:
            self._problem = error
            return
        if is_last:
            self._unpacking = Thread(target=self._finish, args=(self._fetch,), daemon=True)
            self._unpacking.start()

    def _finish(self, fetch: Fetch) -> None:
        try:
            fetch.finish()
        except (OSError, FilesInvalid) as error:
            self._problem = error

    def advance(self) -> Ready | None:
        """
        Return what is ready, once; None: not yet.

        :raises OSError: the files cannot be kept here.
        :raises FilesInvalid: they are not what was announced, or cannot be here.
        """
        if self._problem is not None:
            raise self._problem
        if self._unpacking is not None and not self._unpacking.is_alive():
            self._unpacking, self._fetch = None, None
            self._cache.give_up(self._digest)
        if self._folder is None and self._digest and self._fetch is None:
            self._look()
        if self._folder is None or self._start is None:
            return None
        start, self._start = self._start, None
        return self._ready(start, self._folder)

    def _look(self) -> None:
        found = self._cache.find(self._digest)
        if found is not None:
            self._folder = str(found)
            return
        self._fetch = self._cache.begin(self._digest, self._size)
        if self._fetch is not None:
            self._say(NodeKind.WANT, {})

    def end(self) -> None:
        """Nothing is to be started any more."""
        self._start = None
        if self._fetch is None:
            return
        if self._unpacking is None:
            self._fetch.give_up()
        elif self._problem is None:
            return  # the folder is written to, and is no other agent's before this process ends
        self._cache.give_up(self._digest)

    def _ready(self, start: Mapping[str, object], folder: str) -> Ready:
        load = {**mapping(start, "load"), "folder": folder}
        metrics = start.get("metrics")
        if isinstance(metrics, str) and not os.path.exists(str(load.get("metrics_config"))):
            load["metrics_config"] = str(self._written(metrics))
        python = text(start, "python") or sys.executable
        command = start_command(python, WORKER, text(start, "title"))
        return command, _environment(start), frames.pack_json(frames.LOAD, load), whole(start, "largest") or 0

    def _written(self, metrics: str) -> Path:
        """Return a file with the server's ``metrics.yaml``."""
        name = hashlib.sha256(metrics.encode()).hexdigest()[:16]
        self._cache.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._cache.folder / f"metrics-{name}.yaml"
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(metrics)
        fresh.rename(path)
        return path


def _environment(start: Mapping[str, object]) -> dict[str, str]:
    """A worker's environment: the node's own without what is hidden, and what the server adds."""
    hidden = re.compile(text(start, "hidden") or "(?!)")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not hidden.fullmatch(name) and not name.startswith(_CLUSTER)
    }
    for name, value in mapping(start, "defaults").items():
        environment.setdefault(name, str(value))
    return environment | {name: str(value) for name, value in mapping(start, "environment").items()}
