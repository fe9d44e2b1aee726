"""
Which metrics are kept where the operator names no file: what ``metrics.yaml`` says.

A start reads no YAML for it. Tests compare the two.
"""

from __future__ import annotations

from modelserver.metrics.declarations import COUNTER, GAUGE, Declaration, Declarations

_HOST = ("Level", "Hostname")
_GPU = ("Level", "DeviceId", "Hostname")
_INFERENCE = ("model_name", "model_version", "hostname")
_HANDLER = ("ModelName", "Level", "Hostname")

DEFAULT = Declarations(
    server=(
        Declaration("Requests2XX", COUNTER, "Count", _HOST),
        Declaration("Requests4XX", COUNTER, "Count", _HOST),
        Declaration("Requests5XX", COUNTER, "Count", _HOST),
        Declaration("ts_inference_requests_total", COUNTER, "Count", _INFERENCE),
        Declaration("ts_inference_latency_microseconds", COUNTER, "Microseconds", _INFERENCE),
        Declaration("ts_queue_latency_microseconds", COUNTER, "Microseconds", _INFERENCE),
        Declaration("QueueTime", GAUGE, "Milliseconds", _HOST),
        Declaration("WorkerThreadTime", GAUGE, "Milliseconds", _HOST),
        Declaration("WorkerLoadTime", GAUGE, "Milliseconds", ("WorkerName", *_HOST)),
        Declaration("CPUUtilization", GAUGE, "Percent", _HOST),
        Declaration("MemoryUsed", GAUGE, "Megabytes", _HOST),
        Declaration("MemoryAvailable", GAUGE, "Megabytes", _HOST),
        Declaration("MemoryUtilization", GAUGE, "Percent", _HOST),
        Declaration("DiskUsage", GAUGE, "Gigabytes", _HOST),
        Declaration("DiskAvailable", GAUGE, "Gigabytes", _HOST),
        Declaration("DiskUtilization", GAUGE, "Percent", _HOST),
        Declaration("GPUMemoryUtilization", GAUGE, "Percent", _GPU),
        Declaration("GPUMemoryUsed", GAUGE, "Megabytes", _GPU),
        Declaration("GPUUtilization", GAUGE, "Percent", _GPU),
    ),
    model=(
        Declaration("HandlerTime", GAUGE, "ms", _HANDLER),
        Declaration("PredictionTime", GAUGE, "ms", _HANDLER),
    ),
)

_MMS_SERVER_METRICS = frozenset(
    (
        *("Requests2XX", "Requests4XX", "Requests5XX"),
        *("CPUUtilization", "MemoryUsed", "MemoryAvailable", "MemoryUtilization"),
        *("DiskUsage", "DiskAvailable", "DiskUtilization"),
    )
)
"""What Multi Model Server measures by itself; it has no file to declare metrics in."""

OF_MULTI_MODEL_SERVER = Declarations(
    tuple(each for each in DEFAULT.server if each.name in _MMS_SERVER_METRICS)
)
"""It keeps every metric of a handler undeclared."""
