"""Random numbers of a forked worker: each draws its own, as a process of its own would."""

from __future__ import annotations

import os
import random
import sys


def seed_anew(has_gpu: bool) -> None:
    """
    Seed the generators of this process from the system's entropy, as they are in a fresh process.

    :param has_gpu: torch's generators of GPUs are seeded, too.
    """
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        # torch.manual_seed would ask for devices of every kind, which takes as long as the fork.
        seed = int.from_bytes(os.urandom(7), "little")
        torch.default_generator.manual_seed(seed)
        if has_gpu:
            torch.cuda.manual_seed_all(seed)
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None:
        multiprocessing.current_process().authkey = os.urandom(32)
