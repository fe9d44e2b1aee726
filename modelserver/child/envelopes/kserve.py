"""Envelopes with a list of ``instances``: TorchServe's ``json``, and KServe's protocol, version 1."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence

from modelserver.child.context import Context, PredictionException
from modelserver.child.data.refusals import (
    MISMATCH,
    NO_LIST,
    RowsRefused,
    answers_apart,
    has_requests,
    narrowed,
    reason,
)
from modelserver.child.data.rows import json_value
from modelserver.child.envelopes.base import (
    BaseEnvelope,
    EnvelopeRefused,
    Rows,
    first_error,
    of_requests,
    refused,
    shown,
)
from modelserver.child.failures import report_failure

INSTANCES = "instances"


class InstancesEnvelope(BaseEnvelope):
    """
    Each request is JSON with a list of ``instances``; the handler gets those of the whole batch in one list.

    A request that has none is answered with 400 and spoils no other.
    """

    def handle(self, data: Rows, context: Context) -> object:
        """Open the requests, call the handler with all instances, share its results out."""
        try:
            return self._serve(data, context)
        except RowsRefused as refusal:
            answers = answers_apart(refusal, self._serve, data, context)
        return [shown(context, place, answer) for place, answer in enumerate(answers)]

    def _serve(self, data: object, context: Context) -> object:
        """
        Answer the requests with one call of the handler.

        :raises RowsRefused: the handler refused instances; the places are those of their requests.
        """
        assert isinstance(data, Sequence)
        self.context = context
        rows = self.parse_input(data)
        served = [place for place, count in enumerate(self._counts) if count is not None]
        if not served:
            return self.format_output([])
        try:
            results = self._handle_fn(rows, narrowed(context, served, len(data)))
        except RowsRefused as refusal:
            owners = [place for place in served for _ in range(self._counts[place] or 0)]
            raise of_requests(refusal, owners, len(data)) from refusal
        return self.format_output(results)

    def parse_input(self, data: Rows) -> list[object]:
        """The instances of all requests in order."""
        rows: list[object] = []
        self._counts: list[int | None] = []
        self._refusals: dict[int, str] = {}
        for place, row in enumerate(data):
            try:
                instances = self._open(row)
            except Exception as error:
                self._refusals[place] = reason(error)
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
                raise PredictionException(NO_LIST, 503)
            if len(data) != sum(counts):
                raise PredictionException(MISMATCH, 503)
            starts = [sum(counts[:number]) for number in range(len(counts))]
            shares = iter([data[at : at + count] for at, count in zip(starts, counts, strict=True)])
        return [
            self._closed(place, next(shares)) if count is not None else self._refuse(place)
            for place, count in enumerate(self._counts)
        ]

    def _open(self, row: object) -> list[object]:
        document = json_value(row)
        instances = document.get(INSTANCES) if isinstance(document, dict) else None
        if not isinstance(instances, list):
            raise EnvelopeRefused('The request is not JSON with a list of "instances".')
        return instances

    def _closed(self, place: int, results: object) -> object:
        """The answer of one request; where it cannot be made, that is this request's error only."""
        failed = first_error(results)
        if failed is not None:
            return shown(self.context, place, failed)
        try:
            return self._close(place, results)
        except Exception as error:
            if has_requests(self.context):
                report_failure(error, self.context)
            return error

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
