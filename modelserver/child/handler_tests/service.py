"""A handler with its model, as the peers' workers hold it: for handlers' own tests."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelserver.child.context import Context, EntryPoint, MmsContext, RequestProcessor
from modelserver.child.data.answers import verdict
from modelserver.child.handler_tests.messages import create_predict_response
from modelserver.child.metrics import unowned
from modelserver.child.metrics.mms import Metric, MmsMetricsStore

log = logging.getLogger(__name__)

PREDICTION_METRIC = "PredictionTime"
Batch = Sequence[Mapping[str, Any]]


def emit_metrics(metrics: Iterable[object]) -> None:
    """
    Send some metrics, or log them in the peers' form where there is no worker of TorchServe's dialect.

    What is counted through the context needs no such call.
    """
    for metric in metrics:
        if isinstance(metric, Metric) and unowned.are_collected():
            unowned.emit(metric.to_record())
        else:
            log.info("[METRICS]%s", metric)


class Service:
    """
    An entry point, and the context that it is called with.

    :param entry_point: called with the rows of a batch and the context.
    """

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        entry_point: EntryPoint,
        gpu: int | None,
        batch_size: int,
        limit_max_image_pixels: bool = True,
        metrics_cache: Any = None,
    ) -> None:
        self._entry_point = entry_point
        self._context: Context = Context(
            model_name,
            model_dir,
            manifest,
            batch_size,
            gpu,
            "",
            limit_max_image_pixels,
            metrics_cache,
        )

    @property
    def context(self) -> Context:
        """What the entry point is called with."""
        return self._context

    def set_cl_socket(self, cl_socket: object) -> None:
        """Keep a socket in the context, for handlers that look for one."""
        self._context.cl_socket = cl_socket

    @staticmethod
    def retrieve_data_for_inference(
        batch: Batch | None,
    ) -> tuple[list[RequestProcessor], list[dict[str, Any]], dict[int, str]]:
        """
        The headers, rows and ids of a batch.

        :param batch: ``requestId``, ``headers`` and ``parameters`` of each request, as the peers decode them.
        :raises ValueError: there is no batch.
        """
        if batch is None:
            raise ValueError("Received invalid inputs")
        processors, rows, ids = [], [], {}
        for place, request in enumerate(batch):
            ids[place] = _text(request["requestId"])
            headers: dict[str, Any] = {
                _text(header["name"]): _text(header["value"]) for header in request.get("headers") or ()
            }
            row = {}
            for parameter in request["parameters"]:
                name = _text(parameter["name"])
                row[name] = parameter["value"]
                if "contentType" in parameter:
                    headers[name] = {"content-type": _text(parameter["contentType"])}
            rows.append(row)
            processors.append(RequestProcessor(headers))
        return processors, rows, ids

    def predict(self, batch: Batch | None) -> bytearray:
        """The peers' message that answers a batch."""
        processors, rows, ids = self.retrieve_data_for_inference(batch)
        context = self._context
        context.request_ids = ids
        context.request_processor = processors
        self._prepare(ids)
        started = time.perf_counter()
        try:
            answers = self._entry_point(rows, context)
        except Exception as error:
            log.warning("Invoking custom service failed.", exc_info=True)
            code, message = verdict(error)
            return create_predict_response(None, ids, message, code)
        if not isinstance(answers, list):
            return create_predict_response(None, ids, "Invalid model predict output", 503)
        if len(answers) != len(ids):
            return create_predict_response(None, ids, "number of batch response mismatched", 503)
        metrics: Any = context.metrics
        if metrics is not None:
            metrics.add_time(PREDICTION_METRIC, round((time.perf_counter() - started) * 1000, 2))
        return create_predict_response(answers, ids, "Prediction success", 200, context)

    def _prepare(self, ids: Mapping[int, str]) -> None:
        """Called before each batch; metrics of TorchServe's kind know the ids from the context."""


class MmsService(Service):
    """The service as Multi Model Server's workers hold it: each batch has metrics of its own."""

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        entry_point: EntryPoint,
        gpu: int | None,
        batch_size: int,
    ) -> None:
        super().__init__(model_name, model_dir, manifest, entry_point, gpu, batch_size)
        self._context = MmsContext(model_name, model_dir, manifest, batch_size, gpu, "")

    def _prepare(self, ids: Mapping[int, str]) -> None:
        self._context.metrics = MmsMetricsStore(ids, self._context.model_name)


def _text(value: str | bytes | bytearray) -> str:
    return value if isinstance(value, str) else value.decode()
