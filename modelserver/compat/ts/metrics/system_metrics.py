"""The load of the host as metrics: each function adds its own to ``system_metrics``."""

import logging
import types

import psutil
from ts.metrics.dimension import Dimension
from ts.metrics.metric import Metric

from modelserver.compat.borrowed import borrowed

__all__ = [
    "Dimension",
    "Metric",
    "collect_all",
    "cpu_utilization",
    "dimension",
    "disk_available",
    "disk_used",
    "disk_utilization",
    "gpu_utilization",
    "logging",
    "memory_available",
    "memory_used",
    "memory_utilization",
    "psutil",
    "system_metrics",
    "types",
]

system_metrics = []
dimension = [Dimension("Level", "Host")]
_MEGABYTE, _GIGABYTE = 1 << 20, 1 << 30


def _add(name, value, unit, dimensions=None):
    system_metrics.append(Metric(name, value, unit, dimension if dimensions is None else dimensions))


def cpu_utilization():
    """Per cent of the processors' time since the call before."""
    _add("CPUUtilization", psutil.cpu_percent(), "percent")


def memory_used():
    """Megabytes of memory in use."""
    _add("MemoryUsed", psutil.virtual_memory().used / _MEGABYTE, "MB")


def memory_available():
    """Megabytes of memory that can be had without swapping."""
    _add("MemoryAvailable", psutil.virtual_memory().available / _MEGABYTE, "MB")


def memory_utilization():
    """Per cent of memory in use."""
    _add("MemoryUtilization", psutil.virtual_memory().percent, "percent")


def disk_used():
    """Gigabytes of the root's disk in use."""
    _add("DiskUsage", psutil.disk_usage("/").used / _GIGABYTE, "GB")


def disk_utilization():
    """Per cent of the root's disk in use."""
    _add("DiskUtilization", psutil.disk_usage("/").percent, "percent")


def disk_available():
    """Gigabytes of the root's disk that are free."""
    _add("DiskAvailable", psutil.disk_usage("/").free / _GIGABYTE, "GB")


def gpu_utilization(num_of_gpu):
    """Per cent and megabytes of each GPU's memory, and how busy it is; nothing without GPUs."""
    if num_of_gpu <= 0:
        return
    import pynvml

    pynvml.nvmlInit()
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
            labels = [*dimension, Dimension("device_id", index)]
            memory = pynvml.nvmlDeviceGetMemoryInfo(gpu)
            _add("GPUMemoryUtilization", 100 * memory.used / memory.total, "percent", labels)
            _add("GPUMemoryUsed", memory.used / _MEGABYTE, "MB", labels)
            _add("GPUUtilization", pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu, "percent", labels)
    finally:
        pynvml.nvmlShutdown()


def collect_all(mod, num_of_gpu):
    """
    Call every public function of a module but this one, and log all metrics.

    :param mod: this module, or one like it.
    :param num_of_gpu: how many GPUs there are.
    """
    for name, function in sorted(vars(mod).items()):
        is_own = isinstance(function, types.FunctionType) and function.__module__ == mod.__name__
        if is_own and name[0] != "_" and name != "collect_all":
            function(*[num_of_gpu] if name == "gpu_utilization" else [])
    for metric in system_metrics:
        logging.info("%s", metric)
    logging.info("")


__getattr__ = borrowed(__name__)
