#!/usr/bin/env bash
# safetensors 0.8.0: save_file() writes a tensor's memory, which is not always its values. safetensors.numpy takes arrays
# of any layout and writes them in the order of memory under their own shape: a transposed array, one in Fortran's order
# and every second element of an array come back with other elements, without a word. safetensors.torch refuses a
# transposed tensor, but writes complex conjugates and negations that torch has only noted (`z.conj()`, `z.conj().imag`)
# as if they were not there: the sign is lost. torch.save() and np.savez() keep all of these.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q safetensors==0.8.0 numpy==2.2.6
"$work/venv/bin/pip" install -q 'torch==2.13.0' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cd "$work"
venv/bin/python -W ignore - <<'PY'
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch


def differs(what, kind, value, equal, keep):
    kind.save_file({"w": value}, "weights")
    loaded = kind.load_file("weights")["w"]
    print(f"{what}: {value.tolist()} comes back as {loaded.tolist()}")
    assert equal(keep(value), value), what
    assert loaded.shape == value.shape
    return not equal(loaded, value)


def through_npz(value):
    np.savez("kept.npz", w=value)
    return np.load("kept.npz")["w"]


def through_torch(value):
    torch.save(value, "kept.pt")
    return torch.load("kept.pt")


table = np.arange(6).reshape(2, 3)
for what, array, is_lost in (
    ("numpy, as it lies", table, False),
    ("numpy, transposed", table.T, True),
    ("numpy, Fortran's order", np.asfortranarray(table), True),
    ("numpy, every second", np.arange(6)[::2], True),
):
    assert differs(what, safetensors.numpy, array, np.array_equal, through_npz) is is_lost, what
z = torch.tensor([1 + 2j])
for what, tensor, is_lost in (
    ("torch, z", z, False),
    ("torch, z.conj()", z.conj(), True),
    ("torch, z.conj().imag", z.conj().imag, True),
    ("torch, z.conj().resolve_conj()", z.conj().resolve_conj(), False),
):
    assert differs(what, safetensors.torch, tensor, torch.equal, through_torch) is is_lost, what
try:
    safetensors.torch.save_file({"w": torch.from_numpy(table).T}, "weights")
except ValueError as error:
    print("torch, transposed:", str(error)[:48])
else:
    raise SystemExit("a transposed tensor was taken")
print("as described")
PY
