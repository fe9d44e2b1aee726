"""Sends spans as OTLP over HTTP by OpenTelemetry's own exporter."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field
from twisted.logger import Logger

import modelserver
from modelserver.language.attributes import define
from modelserver.tracing.encoding import SpanEncoder
from modelserver.tracing.plain_encoding import PlainEncoder
from modelserver.tracing.plain_request import PlainRequest
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import SERVER, FinishedSpan
from modelserver.tracing.transport import transport_for

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext as OtelContext

NEEDED = "opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"
QUIET = 60.0
"""Seconds between two lines about spans that could not be sent."""
SCOPE = "modelserver"
_YOUNG = 1
"""The generations of objects that are searched for garbage, up to this one, which takes no long pause."""

_log = Logger()


def missing_package() -> str | None:
    """Return the name of a package that is needed and not installed, or None; nothing is loaded."""
    for name in NEEDED:
        try:
            if find_spec(name) is None:
                return name
        except ModuleNotFoundError as error:
            return error.name or name
    return None


@define(eq=False)
class LastWords(logging.Handler):
    """Keeps the last line that the exporter has logged: it says why spans were not sent, over and over."""

    line: str = field(default="", init=False)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.line = record.getMessage()


@define(eq=False)
class OtlpSender:
    """
    A ``SpanSender``. What is not said here, the exporter takes from OpenTelemetry's variables.

    Spans are encoded here where the exporter's client takes bytes; else by the library, which is slow.

    :param resource: what tells this service from others, beside ``OTEL_RESOURCE_ATTRIBUTES``.
    :param endpoint: the URL that spans are sent to; None: as the variables say.
    :param timeout: seconds for each batch.
    :param seconds: on any clock.
    """

    resource: Mapping[str, str]
    endpoint: str | None
    timeout: float
    seconds: Callable[[], float]
    pack: Callable[[Sequence[FinishedSpan]], object] = field(init=False)
    pack_plain: Callable[[PlainRequest], object] | None = field(default=None, init=False)
    _send: Callable[[Sequence[Any]], bool] = field(init=False)
    """Sends what ``pack`` has returned."""
    _shutdown: Callable[[], None] = field(init=False)
    _last_words: LastWords = field(factory=LastWords, init=False)
    _quiet_until: float = field(default=0.0, init=False)
    _unsaid: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource

        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._last_words)
        logger.propagate = False
        transport = transport_for(OTLPSpanExporter, self.endpoint, os.environ, Path(os.path.expanduser("~")))
        exporter = OTLPSpanExporter(endpoint=self.endpoint, timeout=self.timeout, **transport)
        resource = Resource.create(dict(self.resource))
        self._shutdown = exporter.shutdown
        client: Any = getattr(exporter, "_client", None)  # no interface has it: older ones have no client
        if hasattr(client, "export"):
            encoder = _encoder_for(resource)
            self.pack, self.pack_plain = encoder.spans, PlainEncoder(encoder).spans
            self._send = lambda packed: bool(client.export(encoder.request(packed)).success)
        else:
            self.pack = tuple
            self._send = _by_the_library(exporter, resource)

    def send(self, packed: Sequence[object], count: int) -> bool:
        """Send spans in one request, which may be tried again until the exporter's time is over."""
        try:
            is_sent = self._send(packed)
        except Exception as error:  # whatever it is, the next spans are tried
            self._last_words.line, is_sent = repr(error), False
        if not is_sent:
            self._tell(count)
            # What was raised in the exporter keeps its frames, these keep it, and all of it the whole batch.
            # A server of plain requests makes no other circles: it would not look for any for hours.
            gc.collect(_YOUNG)
        return is_sent

    def abort(self) -> None:
        """Try no more."""
        self._shutdown()

    def _tell(self, count: int) -> None:
        self._unsaid += count
        now = self.seconds()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            lost, self._unsaid = self._unsaid, 0
            _log.warn("{lost} spans could not be sent: {why}", lost=lost, why=self._last_words.line)


def _encoder_for(resource: Resource) -> SpanEncoder:
    attributes = {
        name: value if isinstance(value, str | bool | int | float) else str(value)
        for name, value in resource.attributes.items()
    }
    return SpanEncoder(attributes, SCOPE, modelserver.__version__)


def _by_the_library(
    exporter: OTLPSpanExporter, resource: Resource
) -> Callable[[Sequence[Sequence[FinishedSpan]]], bool]:
    from opentelemetry.sdk.trace.export import SpanExportResult

    make = SpanMaker(resource).span

    def send(requests: Sequence[Sequence[FinishedSpan]]) -> bool:
        made = [make(span) for spans in requests for span in spans]
        return exporter.export(made) is SpanExportResult.SUCCESS

    return send


class SpanMaker:
    """Makes the library's spans of ours."""

    def __init__(self, resource: Resource) -> None:
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import (
            Link,
            SpanContext,
            SpanKind,
            Status,
            StatusCode,
            TraceFlags,
            TraceState,
        )

        self._resource = resource
        self._scope = InstrumentationScope(SCOPE, modelserver.__version__)
        self._span, self._event, self._link = ReadableSpan, Event, Link
        self._context, self._state = SpanContext, TraceState.from_header
        self._flags = TraceFlags(TraceFlags.SAMPLED)
        self._server, self._internal = SpanKind.SERVER, SpanKind.INTERNAL
        self._unset, self._status, self._error = Status(), Status, StatusCode.ERROR

    def span(self, span: FinishedSpan) -> ReadableSpan:
        """Make one."""
        return self._span(
            name=span.name,
            context=self._context_of(span.context),
            parent=None if span.parent is None else self._context_of(span.parent, span.is_parent_remote),
            resource=self._resource,
            attributes=span.attributes,
            events=[self._event(name, attributes, at) for name, at, attributes in span.moments],
            links=[self._link(self._context_of(each)) for each in span.links],
            kind=self._server if span.kind == SERVER else self._internal,
            status=self._unset if span.error is None else self._status(self._error, span.error),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=self._scope,
        )

    def _context_of(self, context: SpanContext, is_remote: bool = False) -> OtelContext:
        state = self._state([context.state]) if context.state else None
        return self._context(context.trace_id, context.span_id, is_remote, self._flags, state)
