"""Objects at module level, of kinds that a fork could make one of several workers; and what each sees."""

from __future__ import annotations

import json
import logging
import mmap
import multiprocessing
import os
import queue
import random
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import warnings
from asyncio import new_event_loop
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HERE = Path(tempfile.mkdtemp(prefix="module-state-"))
PID, PARENT = os.getpid(), os.getppid()

# What is drawn at import: another number in each process.
FOLDER, RUN, NODE = HERE.name, uuid.uuid4().hex, uuid.uuid1().hex
TOKEN, AUTHKEY = secrets.token_hex(), multiprocessing.current_process().authkey.hex()
FIRST = [random.random(), float(np.random.rand()), float(torch.rand(()))]
SEED_OF_TORCH = torch.initial_seed()
GENERATORS = (random.Random(), np.random.default_rng(), np.random.RandomState(), torch.Generator())
GENERATORS[3].seed()

# What is seeded at import: the same number in each process.
random.seed(7)
np.random.seed(7)
torch.manual_seed(7)
SEEDED = (random.Random(7), np.random.default_rng(7))

# Files, which have a position.
np.savez(HERE / "table.npz", **{f"m{place}": np.full(2000, place) for place in range(8)})
Image.fromarray(np.arange(30000, dtype="uint8").reshape(100, 100, 3)).save(HERE / "logo.png")
(HERE / "words.txt").write_text("".join(f"{number:07}\n" for number in range(2000)))
TABLE = np.load(HERE / "table.npz")
LOGO = Image.open(HERE / "logo.png")
WORDS = open(HERE / "words.txt")  # noqa: SIM115  # it stays open
SOURCE = open(__file__)  # noqa: SIM115  # it stays open
SCRATCH = tempfile.TemporaryFile()  # noqa: SIM115  # it stays open
JOURNAL = open(HERE / "journal", "a")  # noqa: SIM115  # it stays open
DATABASE = sqlite3.connect(HERE / "data.sqlite", check_same_thread=False)
DATABASE.execute("CREATE TABLE seen (pid INTEGER)")
IN_MEMORY = sqlite3.connect(":memory:", check_same_thread=False)
IN_MEMORY.execute("CREATE TABLE seen (pid INTEGER)")

# Memory, sockets, pipes, processes.
MAPPED = mmap.mmap(-1, 8)
COUNTER = multiprocessing.Value("i", 0)
SENDING, RECEIVING = socket.socketpair()
READING, WRITING = os.pipe()
CHILD = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.alarm(1000)

# Threads and what belongs to them.
LOCK, EVENT, LOCAL, ORDERS = threading.Lock(), threading.Event(), threading.local(), queue.Queue()
LOCAL.pid = os.getpid()
RESULTS = queue.Queue()
WORKER = threading.Thread(target=lambda: RESULTS.put((ORDERS.get(), os.getpid())), daemon=True)
WORKER.start()
POOL = ThreadPoolExecutor(1)
POOL.submit(os.getpid).result()
LOOP = new_event_loop()

# The process as the import finds it.
OF_WORKER = ("MODELSERVER_WORKER",)
SURROUNDINGS = {
    "environment": {name: value for name, value in os.environ.items() if name not in OF_WORKER},
    "path": sys.path[:],
    "folder": os.getcwd(),
    "arguments": len(sys.argv),
    "name": __name__,
    "handlers": [type(handler).__name__ for handler in logging.getLogger().handlers],
    "level": logging.getLogger().level,
    "filters": len(warnings.filters),
    "handled": [
        getattr(handler, "__qualname__", str(handler))
        for handler in map(signal.getsignal, (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))
    ],
    "is_main": threading.current_thread() is threading.main_thread(),
    "process": multiprocessing.current_process().name,
    "group": os.getpgid(0) == os.getpid(),
    "stdin": os.read(0, 1).hex(),
}


async def own_pid() -> int:
    """The process that runs the loop."""
    return os.getpid()


def drawn() -> dict[str, object]:
    """What differs between any two processes."""
    return {
        "folder": FOLDER,
        "run": RUN,
        "node": NODE,
        "token": TOKEN,
        "authkey": AUTHKEY,
        "random": FIRST[0],
        "numpy": FIRST[1],
        "torch": FIRST[2],
        "seed of torch": SEED_OF_TORCH,
        "Random()": GENERATORS[0].random(),
        "default_rng()": float(GENERATORS[1].random()),
        "RandomState()": float(GENERATORS[2].rand()),
        "Generator()": float(torch.rand((), generator=GENERATORS[3])),
        "worker": sys.argv[1],
        "variables": [os.environ[name] for name in OF_WORKER],
    }


def own() -> dict[str, object]:
    """What every process finds to be the same, if its objects are its own."""
    pid = os.getpid()
    MAPPED[0] += 1
    COUNTER.value += 1
    SENDING.send(str(pid).encode())
    os.write(WRITING, str(pid).encode())
    ORDERS.put("order")
    SCRATCH.write(b"scratch")
    JOURNAL.write("line\n")
    JOURNAL.flush()
    for database in (DATABASE, IN_MEMORY):
        database.execute("INSERT INTO seen VALUES (?)", (pid,))
        database.commit()
    EVENT.set()
    return {
        "pid": pid == PID and LOCAL.pid == pid,
        "parent": os.getppid() == PARENT,
        "seeded": [random.random(), float(np.random.rand()), float(torch.rand(()))],
        "generators": [SEEDED[0].random(), float(SEEDED[1].random())],
        "table": [bool((TABLE[f"m{place}"] == place).all()) for place in range(8)],
        "logo": LOGO.convert("RGB").getpixel((99, 99)),
        "words": [WORDS.readline() for _ in range(1500)] == [f"{number:07}\n" for number in range(1500)],
        "source": SOURCE.readline(),
        "scratch": SCRATCH.tell(),
        "journal": (HERE / "journal").read_text(),
        "databases": [base.execute("SELECT count(*) FROM seen").fetchone() for base in (DATABASE, IN_MEMORY)],
        "memory": [MAPPED[0], COUNTER.value],
        "socket": RECEIVING.recv(99) == str(pid).encode(),
        "pipe": os.read(READING, 99) == str(pid).encode(),
        "child": [CHILD.poll(), Path(f"/proc/{CHILD.pid}/stat").read_text().split()[3] == str(pid)],
        "alarm": signal.alarm(0) > 0,
        "thread": RESULTS.get(timeout=20) == ("order", pid),
        "pool": POOL.submit(os.getpid).result(timeout=20) == pid,
        "loop": LOOP.run_until_complete(own_pid()) == pid,
        "lock": LOCK.acquire(timeout=1),
        "threads": torch.get_num_threads(),
        "surroundings": json.dumps(SURROUNDINGS).replace(SURROUNDINGS["folder"], "FOLDER"),
    }


class State:
    """Tells once; whoever asks again is told to ask another worker."""

    def initialize(self, context: object) -> None:
        """Everything is there already."""
        self.told = json.dumps({"pid": os.getpid(), "drawn": drawn(), "own": own()})

    def handle(self, data: list[object], context: object) -> list[str]:
        """What this worker has seen; the others get time to answer, too."""
        time.sleep(0.3)
        return [self.told] * len(data)
