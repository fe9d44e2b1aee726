"""The memory of processes, one log line for each."""

import logging

from modelserver.compat.borrowed import borrowed

__all__ = ["check_process_mem_usage", "get_cpu_usage"]


def get_cpu_usage(pid):
    """The resident bytes of a process, 0 if it is gone; the peer calls it so."""
    import psutil

    try:
        return psutil.Process(int(pid)).memory_info().rss
    except psutil.Error:
        logging.error("There is no process %s", pid)
        return 0


def check_process_mem_usage(stdin):
    """
    Log ``pid:bytes`` for each process.

    :param stdin: its next line has their ids, with commas between them.
    """
    for pid in filter(None, stdin.readline().strip().split(",")):
        logging.info("%s:%d", pid, get_cpu_usage(pid))


__getattr__ = borrowed(__name__)
