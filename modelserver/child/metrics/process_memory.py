"""The memory of processes, one log line for each, as both peers' ``process_memory_metric`` writes it."""

from __future__ import annotations

import logging
from typing import TextIO


def get_cpu_usage(pid: int | str) -> int:
    """The resident bytes of a process, 0 if it is gone; the peers call it so."""
    import psutil

    try:
        return int(psutil.Process(int(pid)).memory_info().rss)
    except psutil.Error:
        logging.error("There is no process %s", pid)
        return 0


def check_process_mem_usage(stdin: TextIO) -> None:
    """
    Log ``pid:bytes`` for each process.

    :param stdin: its next line has their ids, with commas between them.
    """
    for pid in filter(None, stdin.readline().strip().split(",")):
        logging.info("%s:%d", pid, get_cpu_usage(pid))
