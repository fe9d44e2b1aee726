#!/usr/bin/env bash
# safetensors 0.8.0 with torch 2.13.0: load_file() returns tensors that lie in a private mapping of the file, not copies
# of it. Until they are written to, they show what the file holds: who brings new weights into the same file in place
# (as rsync --inplace does) changes the model that is loaded, without a word, also where it has answered already.
# torch.load() of the same weights keeps what it read. A file that is renamed onto the old one leaves the old tensors
# alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'safetensors==0.8.0' 'torch==2.13.0' 'numpy<3' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cd "$work"
venv/bin/python -W ignore - <<'PY'
import os
import shutil

import torch
from safetensors.torch import load_file, save_file


def weights(value):
    return {"w": torch.full((1000, 1000), value)}


def write_into(path, other):
    """Give a file the bytes of another one of the same length, in place."""
    assert os.path.getsize(path) == os.path.getsize(other)
    with open(other, "rb") as source, open(path, "r+b") as target:
        shutil.copyfileobj(source, target)


def watch(what, load, save, bring):
    for name, value in (("live", 1.0), ("next", 2.0)):
        save(weights(value), name)
    loaded = load("live")["w"]
    before = loaded.sum().item()
    bring("live", "next")
    after = loaded.sum().item()
    print(f"{what}: sum {before:.0f} before, {after:.0f} after")
    return before, after


moved = watch("load_file, written in place", load_file, save_file, write_into)
replaced = watch("load_file, renamed onto", load_file, save_file, lambda live, new: os.replace(new, live))
kept = watch("torch.load, written in place", torch.load, torch.save, write_into)
assert moved == (1e6, 2e6), moved
assert replaced == kept == (1e6, 1e6), (replaced, kept)
print("as described")
PY
