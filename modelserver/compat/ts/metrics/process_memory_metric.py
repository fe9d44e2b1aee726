"""The memory of processes, one log line for each."""

from modelserver.child.metrics.process_memory import check_process_mem_usage, get_cpu_usage
from modelserver.compat.borrowed import borrowed

__all__ = ["check_process_mem_usage", "get_cpu_usage"]

__getattr__ = borrowed(__name__)
