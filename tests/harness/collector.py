"""A collector of traces for tests: takes OTLP over HTTP on a port of its own, and keeps the spans."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field, frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.harness.server_process import HOST, eventually


@frozen
class Received:
    """A span as it came. Ids are bytes, times nanoseconds since the epoch."""

    name: str
    kind: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    start: int
    end: int
    attributes: dict[str, object]
    links: tuple[tuple[bytes, bytes], ...]
    moments: tuple[str, ...]
    is_error: bool
    error: str
    resource: dict[str, object]


@define(eq=False)
class Collector:
    """
    Takes spans until it is closed.

    :param hold: requests are answered when this is set; else they hang.
    """

    spans: list[Received] = field(factory=list)
    requests: int = field(default=0, init=False)
    hold: threading.Event = field(factory=threading.Event, init=False)
    _server: ThreadingHTTPServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.hold.set()
        self._server = ThreadingHTTPServer((HOST, 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        """The URL for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://{HOST}:{self._server.server_port}"

    def close(self) -> None:
        """Take no more: connections are refused."""
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, body: bytes) -> None:
        """Keep the spans of a request."""
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [_received(span, resource) for span in scope.spans]

    # Questions.

    def named(self, name: str) -> list[Received]:
        """The spans of this name."""
        return [span for span in list(self.spans) if span.name == name]

    def wait_for(self, name: str, count: int = 1) -> list[Received]:
        """
        The spans of this name, as soon as there are so many.

        :raises AssertionError: there never were.
        """
        return eventually(lambda: found if len(found := self.named(name)) >= count else [])

    def children(self, parent: Received) -> list[Received]:
        """The spans that are parts of one, in their order."""
        found = [
            span
            for span in list(self.spans)
            if span.parent_id == parent.span_id and span.trace_id == parent.trace_id
        ]
        return sorted(found, key=lambda span: span.start)


def covered(span: Received, parts: Sequence[Received]) -> float:
    """Which share of a span's time the parts cover."""
    total, at = 0, span.start
    for part in sorted(parts, key=lambda part: part.start):
        start, end = max(part.start, at), min(part.end, span.end)
        if end > start:
            total, at = total + end - start, end
    return total / max(1, span.end - span.start)


def _handler(collector: Collector) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.requests += 1
            collector.hold.wait()
            collector.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    return Handler


def _received(span: Any, resource: dict[str, object]) -> Received:
    return Received(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_span_id,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        attributes=_plain(span.attributes),
        links=tuple((link.trace_id, link.span_id) for link in span.links),
        moments=tuple(event.name for event in span.events),
        is_error=span.status.code == 2,
        error=span.status.message,
        resource=resource,
    )


def _plain(pairs: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
