"""
What a start has put off: loaded when the server serves, before anybody needs it.

Each turn loads one module, or finishes one class, so that nobody who asks meanwhile waits for long. Who asks
first for something of it waits until that is loaded, as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

from attrs import field
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from modelserver.language.attributes import define, finish, unfinished

AFTER = 0.1
"""Seconds from the start: who has waited for the server asks first."""
PAUSE = 0.003
"""Seconds between two turns."""
PUT_OFF = (
    *("automat", "modelserver.core.workers.lifecycle"),
    *("hyperlink", "twisted.spread.jelly", "twisted.spread.flavors", "twisted.spread.pb", "multipart"),
    *("twisted.web.iweb", "twisted.web.util", "modelserver.http1.web_alone", "modelserver.http1.twisted_web"),
)
"""What the first worker needs, and a first request that is no plain prediction."""
HOT = (
    *("modelserver.backends", "modelserver.core", "modelserver.http1", "modelserver.inference"),
    *("modelserver.jobs", "modelserver.protocol", "modelserver.rest.inference"),
)
"""Whose classes predictions use. The others, most of which a server never uses, would take 2 MB."""

_log = Logger()


@define(eq=False)
class Preloading(Service):
    """
    Loads modules, and then finishes the classes that predictions use.

    :param modules: what to load, in this order.
    :param hot: beginnings of the names of modules whose classes are finished.
    """

    clock: IReactorTime
    modules: Sequence[str] = PUT_OFF
    hot: tuple[str, ...] = HOT
    _steps: Iterator[None] = field(init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._steps = _steps(self.modules, self.hot)

    def startService(self) -> None:
        """Begin soon."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._next = self.clock.callLater(AFTER, self._step)

    def stopService(self) -> None:
        """Load no more."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        waiting, self._next = self._next, None
        if waiting is not None and waiting.active():
            waiting.cancel()

    def _step(self) -> None:
        try:
            next(self._steps)
        except StopIteration:
            return
        except ImportError as error:  # the first request that needs it is told, too
            _log.error("{error}: it is needed to answer some requests", error=str(error))
            return
        self._next = self.clock.callLater(PAUSE, self._step)


def _steps(modules: Sequence[str], hot: tuple[str, ...]) -> Iterator[None]:
    for name in modules:
        if name not in sys.modules:
            import_module(name)
            yield
    ours = [module for name, module in list(sys.modules.items()) if name.startswith(hot)]
    for cls in unfinished(ours):
        finish(cls)
        yield
