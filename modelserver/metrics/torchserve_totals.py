"""Carries what the request path has counted over into the metrics that TorchServe declares."""

from __future__ import annotations

from attrs import field

from modelserver.language.attributes import define
from modelserver.metrics.departures import Departed
from modelserver.metrics.series import Labels
from modelserver.metrics.tallies import RequestTallies
from modelserver.metrics.torchserve_metrics import TorchServeMetrics, Update

HOST: Labels = ("Host",)
"""The value of the label ``Level`` of metrics that are of the whole server."""


@define(eq=False)
class TorchServeTotals:
    """
    Remembers what the declared metrics have already, so that only the growth since then is added.

    :param server: the declared metrics of the server itself.
    :param model: the declared metrics of models that the server measures, in the mode ``log``.
    :param set_prediction_time: takes a model's ``PredictionTime`` in milliseconds.
    :param queue_time: seconds that the last job waited; None once it is carried over.
    :param thread_time: seconds that a worker had the last batch outside the handler; None as above.
    """

    server: TorchServeMetrics
    model: TorchServeMetrics
    set_prediction_time: Update
    queue_time: float | None = field(default=None, init=False)
    thread_time: float | None = field(default=None, init=False)
    _carried: dict[tuple[str, object], float] = field(factory=dict, init=False)

    def carry_over(self, tallies: RequestTallies) -> None:
        """Add what was counted since the last call to the declared metrics."""
        for code, count in tallies.answers.items():
            self._grow(_answer_metric(code), HOST, code, count)
        for (model, version), count in tallies.arrivals.items():
            labels = (model, version or "default")
            self._grow("ts_inference_requests_total", labels, (model, version), count)
        for key, job in tallies.jobs.items():
            labels = (job.model, job.asked)
            self._grow("ts_inference_latency_microseconds", labels, key, job.total.total * 1e6)
            self._grow("ts_queue_latency_microseconds", labels, key, job.queue.total * 1e6)
        self._carry_times(tallies)

    def forget(self, departed: Departed) -> None:
        """Remember no more what models had that are gone."""
        for name, key in [each for each in self._carried if departed.has_key(each[1])]:
            del self._carried[name, key]

    def write_lines(self) -> None:
        """Write what was carried over since the last call, of the metrics that belong into the logs."""
        self.server.write_lines()
        self.model.write_lines()

    def _grow(self, name: str, labels: Labels, key: object, total: float) -> None:
        carried = self._carried.get((name, key))
        if carried is None or carried != total:
            self._carried[name, key] = total
            self.server.update(name)(labels, total - (carried or 0))

    def _carry_times(self, tallies: RequestTallies) -> None:
        if self.queue_time is not None:
            self.server.update("QueueTime")(HOST, int(self.queue_time * 1000))
            self.queue_time = None
        if self.thread_time is not None:
            self.server.update("WorkerThreadTime")(HOST, max(0, int(self.thread_time * 1000)))
            self.thread_time = None
        for batch in tallies.batches.values():
            if batch.prediction_time is not None:
                self.set_prediction_time((batch.model, "Model"), round(batch.prediction_time * 1000, 2))
                batch.prediction_time = None


def _answer_metric(code: int) -> str:
    if 200 <= code < 300:
        return "Requests2XX"
    return "Requests4XX" if 400 <= code < 500 else "Requests5XX"
