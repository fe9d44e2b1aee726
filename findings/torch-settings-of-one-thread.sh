#!/usr/bin/env bash
# torch 2.13.0: which of its global settings hold in which thread cannot be told from their names. Set in the thread that
# loads a model, default_dtype, matmul precision and deterministic algorithms reach the threads that predict.
# set_grad_enabled(False), set_default_device() and autocast do not. set_num_threads() reaches threads that are new to
# torch, and no thread that has computed before: a warm thread pool goes on with the old number. So a model that is
# loaded in a main thread and called in a pool records gradients, and runs on more threads than it was given.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch==2.13.0' 'numpy<3' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"$work/venv/bin/python" -W ignore - <<'PY'
from concurrent.futures import ThreadPoolExecutor

import torch


def look():
    torch.ones(3) + 1
    return {
        "default dtype": torch.get_default_dtype(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "grad enabled": torch.is_grad_enabled(),
        "default device": str(torch.get_default_device()),
        "autocast on the CPU": torch.is_autocast_enabled("cpu"),
        "threads": torch.get_num_threads(),
    }


torch.set_num_threads(3)
warm, new = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
before = warm.submit(look).result()
torch.set_default_dtype(torch.float64)
torch.set_float32_matmul_precision("medium")
torch.use_deterministic_algorithms(True)
torch.set_grad_enabled(False)
torch.set_default_device("meta")
torch.set_autocast_enabled("cpu", True)
torch.set_num_threads(5)
rows = [before, look(), warm.submit(look).result(), new.submit(look).result()]
print(f"{'':20} {'before':16} {'own thread':16} {'warm thread':16} new thread")
for name in before:
    print(f"{name:20}", *(f"{row[name]!s:16}" for row in rows))
_, own, warmed, fresh = rows
reached = {name for name in before if warmed[name] == own[name] != before[name]}
reached_new = {name for name in before if fresh[name] == own[name] != before[name]}
assert all(own[name] != before[name] for name in before), own
assert reached == {"default dtype", "matmul precision", "deterministic"}, reached
assert reached_new == reached | {"threads"}, reached_new
print("as described")
PY
