"""What a handler is given beside its data: the model it serves, the requests in hand, and their answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import modelserver
from modelserver.child.call_trace import TracedCalls
from modelserver.child.device_faults import DeviceWatch, watch_of_torch
from modelserver.dialect_rules import DIALECTS
from modelserver.protocol.load_request import LoadRequest

Headers = Mapping[str, object]
HeaderSource = Headers | bytes | bytearray | memoryview | Callable[[], Headers]
RequestIds = dict[int, str]

CONTENT_TYPE = "content-type"


class PredictionException(Exception):
    """
    Raised by a handler to fail its batch with a text and a code of its own.

    :param message: what the client reads.
    :param error_code: the HTTP status.
    """

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return f"{self.message} : {self.error_code}"


def parse_headers(block: bytes | bytearray | memoryview) -> dict[str, object]:
    """The headers of a block of ``Name: value`` lines, each ended by CRLF; the last of one name wins."""
    headers: dict[str, object] = {}
    for line in bytes(block).decode("latin-1").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers[name] = value.strip(" \t")
    return headers


class RequestProcessor:
    """
    One request's headers, and what the handler wants its answer to carry.

    Made for every request, read for few: the headers may come as the raw block or a function, and are
    only parsed when somebody asks. ``changed`` tells whether the handler has set anything.

    :param request_header: the client's headers: a mapping, the raw block, or a function that makes them.
    :param injected: headers that the server adds, which win over the client's; or a function that makes them.
    """

    changed = False
    encode: Callable[[object], bytes] | None = None
    """Makes the body of the answer of what the handler returns; None: as it is usual."""
    is_told = False
    """Whether a part of the answer has brought what the handler has set."""
    status = 200
    phrase: str | None = None
    _headers: dict[str, object] | None = None
    _response_headers: dict[str, str] | None = None

    def __init__(
        self, request_header: HeaderSource, injected: Headers | Callable[[], Headers] | None = None
    ) -> None:
        self._source = request_header
        self._injected = injected

    def get_request_property(self, key: str) -> str | None:
        """The value of a header: of this very spelling if there is one, else whatever its case."""
        injected = self._injected
        if self._headers is None and isinstance(injected, dict) and key in injected:
            return cast("str | None", injected[key])
        headers = self.get_request_properties()
        if key in headers:
            return cast("str | None", headers[key])
        wanted, found = key.lower(), None
        for name, value in headers.items():
            if name.lower() == wanted:
                found = value
        return cast("str | None", found)

    def get_request_properties(self) -> dict[str, object]:
        """All headers of the request, spelled as they came."""
        if self._headers is None:
            source, injected = self._source, self._injected
            if isinstance(source, bytes | bytearray | memoryview):
                headers = parse_headers(source)
            else:
                given = source() if callable(source) else source
                headers = given if isinstance(given, dict) else dict(given)
            if injected is not None:
                headers = {**headers, **(injected() if callable(injected) else injected)}
            self._headers = headers
        return self._headers

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Choose the HTTP status and reason phrase of this answer."""
        self.changed, self.is_told = True, False
        self.status = code
        self.phrase = reason_phrase

    def get_response_status_code(self) -> int:
        """The HTTP status of this answer, 200 unless set."""
        return self.status

    def get_response_status_phrase(self) -> str | None:
        """The reason phrase of this answer, None unless set."""
        return self.phrase

    def add_response_property(self, key: str, value: str) -> None:
        """Add a header to this answer; a second one of the same name replaces the first."""
        self.changed, self.is_told = True, False
        self.get_response_headers()[key] = value

    def get_response_headers(self) -> dict[str, str]:
        """The headers that were added to this answer."""
        if self._response_headers is None:
            self._response_headers = {}
        return self._response_headers

    def get_response_header(self, key: str) -> str | None:
        """One header of this answer, or None."""
        return self.get_response_headers().get(key)


Processors = list[RequestProcessor] | Callable[[], list[RequestProcessor]]
"""What a context knows of the requests in hand, or what makes it when somebody asks."""


def _sequence_header(part: str) -> str:
    """The header name that marks a sequence's id, start or end: both peers' variables are heard."""
    standard = f"TS_REQUEST_SEQUENCE_{part}"
    return os.environ.get(f"TS_HEADER_KEY_SEQUENCE_{part}") or os.environ.get(standard) or standard.lower()


class Context(TracedCalls):
    """
    What a handler knows about its model and the requests in hand.

    Handlers' own tests construct it, so its signature is the peers'. The worker's loop sets
    ``request_ids``, ``request_processor`` and ``repeated_fields`` before each batch.

    :param model_dir: the folder of the unpacked archive.
    :param manifest: the archive's ``MANIFEST.json`` as it was read, or None.
    :param gpu: the device number that this worker was given, or None for the CPU.
    :param mms_version: the server's version.
    :param limit_max_image_pixels: whether image handlers keep Pillow's limit on decoded pixels.
    :param metrics: where the handler counts things.
    :param model_yaml_config: ``model-config.yaml`` as it was read.
    """

    device_watch: DeviceWatch | None = None
    """Tells from an exception whether this process can use its device no more; None outside of workers."""
    envelope: str | None = None
    """The name of the envelope that the requests are in."""
    send_parts: Callable[[Sequence[object]], None] | None
    """Sends one part for each request of the batch, while more follow; None where nothing can be streamed."""

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        batch_size: int,
        gpu: int | None,
        mms_version: str,
        limit_max_image_pixels: bool = True,
        metrics: object = None,
        model_yaml_config: dict[str, Any] | None = None,
    ) -> None:
        self.model_name = model_name
        # Any: handlers know what they wrote into these files.
        self.manifest: Any = manifest
        self.model_yaml_config: dict[str, Any] = {} if model_yaml_config is None else model_yaml_config
        self._system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": gpu,
            "batch_size": batch_size,
            "server_name": "MMS",
            "server_version": mms_version,
            "limit_max_image_pixels": limit_max_image_pixels,
        }
        self.given_ids: RequestIds | Callable[[], RequestIds] | None = None
        """What ``request_ids`` was set to, or its value: an attribute costs less than a property."""
        self._processors: Processors = []
        self.repeated_fields: dict[int, dict[str, list[object]]] = {}
        self.send_parts = None
        self.cl_socket: object = None
        self.stopping_criteria: dict[int, Callable[[object], object]] | None = None
        self.header_key_sequence_id = _sequence_header("ID")
        self.header_key_sequence_start = _sequence_header("START")
        self.header_key_sequence_end = _sequence_header("END")
        self._metrics: Any = None
        self.metrics = metrics

    @property
    def system_properties(self) -> dict[str, Any]:
        """Where and as what the handler runs: ``model_dir``, ``gpu_id``, ``batch_size`` and others."""
        return self._system_properties

    @property
    def request_ids(self) -> RequestIds | None:
        """Each request's id by its place in the batch. May be set to a function, called when first read."""
        if callable(self.given_ids):
            self.given_ids = self.given_ids()
        return self.given_ids

    @request_ids.setter
    def request_ids(self, request_ids: RequestIds | Callable[[], RequestIds] | None) -> None:
        self.given_ids = request_ids

    @property
    def request_processor(self) -> list[RequestProcessor]:
        """
        The batch's requests in order: their headers, and what their answers carry.

        ``begin`` may have set a function, which is called when they are first read.
        """
        if callable(self._processors):
            self._processors = self._processors()
        return self._processors

    @request_processor.setter
    def request_processor(self, request_processor: Iterable[RequestProcessor]) -> None:
        self._processors = cast("list[RequestProcessor]", request_processor)

    _request_processor = request_processor
    """The same by the name that it has inside the peers' contexts, where handlers have found it."""

    def begin(
        self,
        request_ids: Callable[[], RequestIds],
        processors: Processors,
        repeated_fields: dict[int, dict[str, list[object]]],
    ) -> None:
        """Another batch: what the server sets before each call of the handler."""
        self.given_ids = request_ids
        self._processors = processors
        self.repeated_fields = repeated_fields

    @property
    def metrics(self) -> Any:
        """
        Where the handler counts things, with what the dialect's metrics can.

        A metrics object of ours learns the requests' ids from here.
        """
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics = metrics
        follow = getattr(metrics, "follow", None)
        if follow is not None:
            follow(lambda: self.request_ids)

    def get_request_id(self, idx: int = 0) -> str | None:
        """The id of one request, as the client reads it in ``x-request-id``."""
        return (self.request_ids or {}).get(idx)

    def get_request_header(self, idx: int, key: str) -> str | None:
        """One header of one request, whatever the case of its name."""
        return self._request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, object]:
        """All headers of one request, spelled as they came."""
        return self._request_processor[idx].get_request_properties()

    def get_all_values(self, idx: int, name: str) -> list[object]:
        """
        Every value of one form field of one request, in order.

        The row of ``data`` holds only the last of several parts with one name.
        """
        return list(self.repeated_fields.get(idx, {}).get(name, ()))

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Say what one answer is; without this it has no content type."""
        self.set_response_header(idx, CONTENT_TYPE, value)

    def get_response_content_type(self, idx: int) -> str | None:
        """The content type that was set for one answer."""
        return self.get_response_headers(idx).get(CONTENT_TYPE)

    def get_response_status(self, idx: int) -> tuple[int, str | None]:
        """The status and reason phrase of one answer."""
        processor = self._request_processor[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Choose the status and reason phrase of one answer; its body is sent all the same."""
        if self._request_processor:  # a handler's own tests may have no request
            self._request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Choose the status and reason phrase of every answer of the batch."""
        for processor in self._request_processor:
            processor.report_status(code, phrase)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """The headers that were added to one answer."""
        return self._request_processor[idx].get_response_headers()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Add a header to one answer."""
        self._request_processor[idx].add_response_property(key, value)

    def get_sequence_id(self, idx: int) -> str | None:
        """The id of the sequence that one request belongs to, or None."""
        return self.get_request_header(idx, self.header_key_sequence_id)

    def get_traceparent(self, idx: int = 0) -> str | None:
        """
        The trace context of one request, for the header ``traceparent`` of what the handler calls.

        None where the request has none. Where it is traced here, the handler's own span is in it.
        """
        return self.get_request_header(idx, "traceparent")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return NotImplemented
        return _comparable(self) == _comparable(other)

    __hash__ = None  # type: ignore[assignment]  # as in the peers: it changes with every batch


def _comparable(context: Context) -> dict[str, object]:
    """A context's values, ids resolved."""
    return {**vars(context), "given_ids": context.request_ids}


class MmsContext(Context):
    """The context as Multi Model Server's handlers construct it."""

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        batch_size: int,
        gpu: int | None,
        mms_version: str,
    ) -> None:
        super().__init__(model_name, model_dir, manifest, batch_size, gpu, mms_version)
        del self._system_properties["limit_max_image_pixels"]


EntryPoint = Callable[[object, Context], object]
"""A handler as the worker calls it: with ``data`` and the context."""


def new_context(request: LoadRequest) -> Context:
    """The context of a worker's handler; ``peer_version`` is beside the server's own version."""
    context = _context_in_dialect(request)
    context.device_watch = watch_of_torch()
    if request.envelope:
        context.envelope = request.envelope
    context.system_properties["peer_version"] = DIALECTS[request.dialect].peer_version
    return context


def _context_in_dialect(request: LoadRequest) -> Context:
    """A context with metrics in the manner of the server's dialect."""
    model = request.name, request.folder, request.manifest
    place = request.batch_size, request.gpu_id, modelserver.__version__
    if DIALECTS[request.dialect].has_mms_context:
        from modelserver.child.metrics.mms import MmsMetricsStore

        context: Context = MmsContext(*model, *place)
        context.metrics = MmsMetricsStore(None, request.name)
        return context
    from modelserver.child.metrics.torchserve import HandlerMetrics

    return Context(
        *model,
        *place,
        limit_max_image_pixels=request.limit_max_image_pixels,
        metrics=HandlerMetrics(request.metrics_config, request.name),
        model_yaml_config=request.config,
    )
