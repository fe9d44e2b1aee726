"""Answers the rows of the metrics listener."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.metrics.exposition import CONTENT_TYPE
from modelserver.metrics.openmetrics import OPENMETRICS_TYPE, is_openmetrics_wanted
from modelserver.rest.binding import Operation
from modelserver.rest.reply import KleinResponder

_HEADERS = ((b"content-type", CONTENT_TYPE.encode("ascii")),)
_OPENMETRICS = ((b"content-type", OPENMETRICS_TYPE.encode("ascii")),)
Scrape = Callable[[Collection[str]], Iterable[bytes]]


@frozen(eq=False)
class MetricsApi:
    """
    Answers scrapes.

    :param scrape: the text for the samples of these names, or for all without a name; in pieces, since that
        of many models takes long.
    :param openmetrics: the same in OpenMetrics, for scrapers that like it better; None: nobody gets it.
    :param run_soon: runs something in the reactor's next turn.
    """

    scrape: Scrape
    responder: KleinResponder
    run_soon: Callable[[Callable[[], None]], object]
    openmetrics: Scrape | None = None

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {"metrics": self.metrics, "metrics_below": self.metrics}

    async def metrics(self, request: Request, rest: str = "") -> bytes:
        """The metrics; a ``name[]`` that no sample has leaves nothing of them."""
        names = {name.decode("utf-8", "replace") for name in request.args.get(b"name[]", ())}
        scrape, headers = self.scrape, _HEADERS
        accept = request.getHeader(b"accept") if self.openmetrics is not None else None
        if self.openmetrics is not None and is_openmetrics_wanted((accept or b"").decode("latin-1")):
            scrape, headers = self.openmetrics, _OPENMETRICS
        written = []
        for piece in scrape(names):
            written.append(piece)
            await self._next_turn()
        return self.responder.render(request, Reply(200, b"".join(written), headers=headers))

    def _next_turn(self) -> Deferred[None]:
        turn: Deferred[None] = Deferred()
        self.run_soon(lambda: turn.callback(None))
        return turn
