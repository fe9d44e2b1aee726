#!/usr/bin/env bash
# torch 2.13.0: the module of an exported program checks its input's sizes, and raises AssertionError where they are not those
# that were exported. It checks neither the datatype nor the number of dimensions: a program of float32 [b, 3] computes
# with float64, int64 and bool, and with [b, 3, 5], and answers in other types and shapes than its own graph states. A
# server that leaves checks to the program lets through what the model was never exported for.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch==2.13.0' 'numpy<3' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cd "$work"
venv/bin/python -W ignore - <<'PY'
import torch


class Shift(torch.nn.Module):
    def forward(self, x):
        return x * 2 + 1


batch = torch.export.Dim("b", min=2, max=8)
program = torch.export.export(Shift(), (torch.ones(2, 3),), dynamic_shapes={"x": {0: batch}})
torch.export.save(program, "shift.pt2")
program = torch.export.load("shift.pt2")
(given,) = (node.meta["val"] for node in program.graph.nodes if node.op == "placeholder")
print("exported for", given.dtype, [str(size) for size in given.shape])
assert given.dtype is torch.float32 and given.dim() == 2
module = program.module()


def ask(dtype, *shape):
    try:
        answer = module(torch.ones(shape, dtype=dtype))
        told = answer.dtype, tuple(answer.shape)
    except AssertionError as error:
        told = str(error)
    print(dtype, shape, "->", told)
    return told


for dtype, answer in ((torch.float64, torch.float64), (torch.int64, torch.int64), (torch.bool, torch.int64)):
    assert ask(dtype, 2, 3) == (answer, (2, 3))
assert ask(torch.float32, 2, 3, 5) == (torch.float32, (2, 3, 5))
for shape in ((2, 4), (9, 3)):
    assert "Guard failed: x.size()" in ask(torch.float32, *shape)
print("as described")
PY
