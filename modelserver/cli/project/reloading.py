"""Has a running server serve a project as it is now."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote, urlencode

from attrs import field

from modelserver.archive.manifest import MANIFEST
from modelserver.archive.project import CONFIG, REQUIREMENTS
from modelserver.cli.client.http import Ask, ServerReply
from modelserver.language.attributes import define

SETTINGS_FILES = (CONFIG, REQUIREMENTS, MANIFEST.name)
"""What is only read at a registration."""
_GONE = http.client.NOT_FOUND


@define(eq=False)
class Reloader:
    """
    Registers a model, and gives it a new worker when its files change.

    A new worker is forked from the version's template, which has the libraries already.

    :param ask: asks the server's management API.
    :param url: what the server finds the project by, in its model store.
    :param prepare: brings the project's place in the store up to date.
    """

    ask: Ask
    name: str
    url: str
    prepare: Callable[[], object] = lambda: None
    _is_registered: bool = field(default=False, init=False)

    def start(self) -> str | None:
        """Register the model with one worker; return why that failed, or None."""
        return self.reload(SETTINGS_FILES)

    def reload(self, changed: Iterable[str | Path]) -> str | None:
        """
        Serve the project as it is now; return why that failed, or None.

        :param changed: the files that have changed.
        """
        self.prepare()
        if not self._is_registered or any(Path(path).name in SETTINGS_FILES for path in changed):
            failure = self._register()
        else:
            failure = self._scale(0)
        failure = failure or self._scale(1)
        if failure is not None and self._is_registered:
            self._scale(0)  # or the server would try the same again and again
        return failure

    def _register(self) -> str | None:
        if self._is_registered:
            gone = self.ask("DELETE", f"/models/{quote(self.name, safe='')}", b"")
            if gone.status not in (http.client.OK, _GONE):
                return gone.message
            self._is_registered = False
        query = {"url": self.url, "model_name": self.name, "initial_workers": "0", "synchronous": "true"}
        reply = self.ask("POST", f"/models?{urlencode(query)}", b"")
        self._is_registered = reply.status == http.client.OK
        return None if self._is_registered else reply.message

    def _scale(self, workers: int) -> str | None:
        query = {"min_worker": workers, "max_worker": workers, "synchronous": "true"}
        reply = self.ask("PUT", f"/models/{quote(self.name, safe='')}?{urlencode(query)}", b"")
        return None if reply.status == http.client.OK else _reason(reply)


def _reason(reply: ServerReply) -> str:
    """Return why a worker did not start, as the server tells it beside its message."""
    return reply.told("reason") or reply.message
