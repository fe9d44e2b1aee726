"""Builds what traces requests, where that is switched on, and ends it with the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random, SystemRandom
from typing import TYPE_CHECKING

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from modelserver.config.settings import Settings
from modelserver.language.attributes import define
from modelserver.tracing.settings import TracingSettings, read_settings

if TYPE_CHECKING:  # loaded where requests are traced
    from modelserver.tracing.outbound import OutboundSpans
    from modelserver.tracing.request_lines import RequestLines
    from modelserver.tracing.tracer import SpanTracer

HOW = "pip install 'modelserver[tracing]'"
LAST_SPANS = 1.5
"""Seconds that spans have to be sent at the end, whether the collector takes them or not."""

_log = Logger()


@define(eq=False)
class Tracing:
    """The tracer of a server, and the way of its spans."""

    tracer: SpanTracer
    outbound: OutboundSpans | RequestLines
    _reactor: PosixReactorBase
    _over: Deferred[None] | None = field(default=None, init=False)
    _late: IDelayedCall | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to send spans."""
        self.outbound.ended = self._ended_in_thread
        self.outbound.start()
        _log.info("Requests are traced: {sampler}.", sampler=self.tracer.sampler.name)

    def counts(self) -> Mapping[str, int]:
        """Return how many spans had which outcome; those of all requests that have ended are made by then."""
        self.tracer.settle()
        outbound = self.outbound
        return {"sent": outbound.sent, "failed": outbound.failed, "dropped": outbound.dropped}

    def end(self) -> Deferred[None]:
        """Send what waits, for a moment; fires when that is done, or its time is over."""
        over: Deferred[None] = Deferred()
        self._over = over
        self._late = self._reactor.callLater(LAST_SPANS, self._give_up)
        self.tracer.settle()
        self.outbound.end()
        return over

    def _give_up(self) -> None:
        self.outbound.abort()
        self._finish()

    def _ended_in_thread(self) -> None:
        self._reactor.callFromThread(self._finish)

    def _finish(self) -> None:
        over, self._over = self._over, None
        if over is None:
            return
        if self._late is not None and self._late.active():
            self._late.cancel()
        lost = self.outbound.failed + self.outbound.dropped
        if lost:
            _log.warn("{lost} spans of {all} were lost.", lost=lost, all=lost + self.outbound.sent)
        over.callback(None)


def trace_id_of(tracing: Tracing | None) -> Callable[[], str]:
    """Return what tells the id of the present request's trace; nothing where it is not traced."""
    if tracing is None:
        return str
    tracer = tracing.tracer
    return lambda: "" if tracer.current is None else tracer.current.trace_id


def make_tracing(
    settings: Settings, reactor: PosixReactorBase, environment: Mapping[str, str]
) -> tuple[Tracing | None, tuple[str, ...]]:
    """
    Return what traces requests, and what is to be told of it at the start.

    There is none where traces are off, or where what they need is not installed.
    """
    found = read_settings(settings.tracing, settings.telemetry_keys(), environment)
    if not found.is_on:
        return None, ()
    from modelserver.tracing.otlp import missing_package

    missing = None if found.is_logged else missing_package()
    if missing is not None:
        return None, (f"Requests are not traced, for {missing} is not installed: {HOW}",)
    return _new_tracing(found, reactor), found.warnings


def _new_tracing(found: TracingSettings, reactor: PosixReactorBase) -> Tracing:
    from modelserver.tracing.otlp import OtlpSender
    from modelserver.tracing.outbound import OutboundSpans
    from modelserver.tracing.request_lines import RequestLines
    from modelserver.tracing.sampling import Sampler
    from modelserver.tracing.tracer import SpanTracer

    outbound: OutboundSpans | RequestLines
    if found.is_logged:
        outbound = RequestLines()
    else:
        sender = OtlpSender(found.resource, found.endpoint, found.export_timeout, time.monotonic)
        outbound = OutboundSpans(found.limits, sender)
    bits = Random(SystemRandom().getrandbits(256)).getrandbits
    tracer = SpanTracer(
        sampler=Sampler(found.sampler, found.ratio, bits),
        seconds=reactor.seconds,
        now=time.time,
        bits=bits,
        deliver=outbound.put,
        deliver_plain=outbound.put_plain,
        later=reactor.callLater,
    )
    return Tracing(tracer, outbound, reactor)
