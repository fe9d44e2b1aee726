"""
Whether a cluster lets somebody in who has no token: a process of its own tries, and runs nothing there.

Ray reads its token once in each process, so that the driver, which has one, cannot try.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Mapping

from modelserver.backends.ray.token_check import FILE, MODE, TOKEN
from modelserver.protocol.worker_start import start_command

_PROBE = "modelserver.backends.ray.token_probe"
_PATIENCE = 30.0
"""Seconds for all of it."""
_TRIES = "RAY_NUM_REDIS_GET_RETRIES"
"""The variable with Ray's number of tries to reach a cluster, a second apart; by itself it takes 20."""
_ENTERED, _LEFT_OUT = 7, 8
"""The exit codes that say so; any other one says that it was not tried."""


def lets_anybody_in(address: str, environment: Mapping[str, str]) -> bool:
    """
    Return whether a cluster can be joined without a token. Blocks for a second or two.

    :raises RuntimeError: it cannot be told.
    """
    without = {name: text for name, text in environment.items() if name not in (TOKEN, FILE)}
    untold = f"whether the cluster at {address} lets in who has no token cannot be told"
    try:
        tried = subprocess.run(
            start_command(sys.executable, _PROBE, address),
            env={**without, MODE: "disabled", _TRIES: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{untold}: it has not answered for {_PATIENCE:.0f} s") from None
    if tried.returncode not in (_ENTERED, _LEFT_OUT):
        raise RuntimeError(f"{untold}: who tried ended with {tried.returncode}")
    return tried.returncode == _ENTERED


def main() -> None:
    """Try to join the cluster at ``sys.argv[1]``."""
    import ray

    try:
        ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
    except ConnectionError:  # for one without a token the cluster is not there
        os._exit(_LEFT_OUT)
    os._exit(_ENTERED)  # it is left with this process
