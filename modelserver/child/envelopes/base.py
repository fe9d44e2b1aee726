"""Request envelopes: bodies in a known format become rows for the handler, and its results answers again."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING, TypeGuard

from modelserver.child.context import PredictionException
from modelserver.child.data.rows import json_value, row_value

if TYPE_CHECKING:
    from modelserver.child.context import Context

EntryPoint = Callable[[object, "Context"], object]
Rows = Sequence[object]

INSTANCES = "instances"
MISMATCH = "number of batch response mismatched"


class Refused(ValueError):
    """One request does not fit its envelope; the others of its batch are served all the same."""


class BaseEnvelope(ABC):
    """
    Stands between the loop and a handler. Lives for one batch.

    :param handle_fn: the handler's entry point.
    """

    def __init__(self, handle_fn: EntryPoint) -> None:
        self._handle_fn = handle_fn
        self.context: Context | None = None

    def handle(self, data: Rows, context: Context) -> object:
        """Open the requests, call the handler, close its results."""
        self.context = context
        return self.format_output(self._handle_fn(self.parse_input(data), context))

    @abstractmethod
    def parse_input(self, data: Rows) -> object:
        """The rows for the handler."""

    @abstractmethod
    def format_output(self, data: object) -> object:
        """The answers for what the handler returned."""


class BodyEnvelope(BaseEnvelope):
    """The handler gets each request's value itself, not the dict around it."""

    def parse_input(self, data: Rows) -> object:
        """The values of ``data`` or ``body``."""
        return [row_value(row) for row in data]

    def format_output(self, data: object) -> object:
        """What the handler returned, as it is."""
        return data


class InstancesEnvelope(BaseEnvelope):
    """
    Each request is JSON with a list of ``instances``; the handler gets those of the whole batch in one list.

    A request that has none is answered with 400 and spoils no other.
    """

    def handle(self, data: Rows, context: Context) -> object:
        """Open the requests, call the handler with all instances, share its results out."""
        self.context = context
        rows = self.parse_input(data)
        served = [place for place, count in enumerate(self._counts) if count is not None]
        if not served:
            return self.format_output([])
        return self.format_output(self._handle_fn(rows, narrowed(context, served, len(data))))

    def parse_input(self, data: Rows) -> list[object]:
        """The instances of all requests in order."""
        rows: list[object] = []
        self._counts: list[int | None] = []
        self._refusals: dict[int, str] = {}
        for place, row in enumerate(data):
            try:
                instances = self._open(row)
            except ValueError as error:
                self._refusals[place] = str(error)
                self._counts.append(None)
            else:
                rows += instances
                self._counts.append(len(instances))
        return rows

    def format_output(self, data: object) -> list[object]:
        """
        An answer for each request: its share of what the handler returned.

        :raises PredictionException: the handler's list does not fit the instances of several requests.
        """
        counts = [count for count in self._counts if count is not None]
        if len(counts) == 1:
            shares = iter([data])
        else:
            if not isinstance(data, list):
                raise PredictionException("Invalid model predict output", 503)
            if len(data) != sum(counts):
                raise PredictionException(MISMATCH, 503)
            starts = [sum(counts[:number]) for number in range(len(counts))]
            shares = iter([data[at : at + count] for at, count in zip(starts, counts, strict=True)])
        return [
            self._close(place, next(shares)) if count is not None else self._refuse(place)
            for place, count in enumerate(self._counts)
        ]

    def _open(self, row: object) -> list[object]:
        document = json_value(row)
        instances = document.get(INSTANCES) if isinstance(document, dict) else None
        if not isinstance(instances, list):
            raise Refused('The request is not JSON with a list of "instances".')
        return instances

    def _close(self, place: int, results: object) -> object:
        return {"predictions": results}

    def _refuse(self, place: int) -> object:
        return refused(self.context, place, self._refusals[place])


class JSONEnvelope(InstancesEnvelope):
    """``{"instances": [...]}`` in, ``{"predictions": [...]}`` out; ``{"b64": text}`` stands for bytes."""

    def _open(self, row: object) -> list[object]:
        return [_with_bytes(instance) for instance in super()._open(row)]

    def _close(self, place: int, results: object) -> object:
        return json.dumps({"predictions": results}, default=_plain)


class KServeEnvelope(InstancesEnvelope):
    """KServe's protocol, version 1: ``instances`` in, ``predictions`` or ``explanations`` out."""

    def _close(self, place: int, results: object) -> object:
        context = self.context
        explains = has_requests(context) and context.get_request_header(place, "explain") == "True"
        return {"explanations" if explains else "predictions": results}


def has_requests(context: Context | None) -> TypeGuard[Context]:
    """Whether a context knows its requests: those that handlers' own tests make may not."""
    return bool(getattr(context, "request_processor", None))


def refused(context: Context | None, place: int, text: str) -> object:
    """The answer to a request that was refused: 400 and why."""
    if has_requests(context):
        context.set_response_status(400, "Bad Request", place)
    return {"error": text}


def narrowed(context: Context, places: Sequence[int], count: int) -> Context:
    """A context for some of ``count`` requests of a batch: the very same one if it is for all of them."""
    if len(places) == count or not has_requests(context):
        return context
    part = copy(context)
    ids = context.request_ids or {}
    part.request_processor = [context.request_processor[place] for place in places]
    part.request_ids = {number: ids[place] for number, place in enumerate(places) if place in ids}
    part.repeated_fields = {
        number: context.repeated_fields[place]
        for number, place in enumerate(places)
        if place in context.repeated_fields
    }
    return part


def _with_bytes(instance: object) -> object:
    if not isinstance(instance, dict):
        return instance
    if set(instance) == {"b64"}:
        return b64decode(instance["b64"])
    return {
        name: b64decode(value["b64"]) if isinstance(value, dict) and set(value) == {"b64"} else value
        for name, value in instance.items()
    }


def _plain(value: object) -> object:
    """
    A tensor or an array as lists.

    :raises TypeError: it is something else that JSON cannot hold.
    """
    to_list = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"{type(value).__name__} cannot be put into JSON")
    return to_list()


def _kind(name: str) -> type[BaseEnvelope]:
    if name == "kservev2":
        from modelserver.child.envelopes.open_inference import KServev2Envelope

        return KServev2Envelope
    kinds = {"body": BodyEnvelope, "json": JSONEnvelope, "kserve": KServeEnvelope}
    if name not in kinds:
        raise ValueError(f"There is no request envelope {name!r}; there are {', '.join(kinds)}, kservev2.")
    return kinds[name]


def wrap(name: str, entry_point: EntryPoint) -> EntryPoint:
    """
    An entry point behind an envelope: ``body``, ``json``, ``kserve`` or ``kservev2``.

    :raises ValueError: there is no envelope of this name.
    """
    kind = _kind(name)

    def enveloped(data: object, context: Context) -> object:
        return kind(entry_point).handle(data, context)  # type: ignore[arg-type]  # the loop's list of rows

    return enveloped
