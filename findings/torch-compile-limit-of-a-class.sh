#!/usr/bin/env bash
# torch 2.13.0: torch.compile() makes a compiled model of each model it gets, but what it compiles is kept by the
# function's code, eight times at most (recompile_limit), for all objects of a class in a process. Of ten models of one
# class with other sizes, the last two are never compiled: they run as they are, at the speed of that, which one line of
# a log says once. Of one model, the limit is used up by what no shape shows: the same batch under no_grad,
# inference_mode and with gradients, with another set_num_threads(), transposed, as every second row, of one row and of
# none is eight. A warm-up under no_grad so compiles nothing that a prediction under inference_mode uses.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch==2.13.0' 'numpy<3' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"$work/venv/bin/python" -W ignore - 2> "$work/errors" <<'PY' ||
import torch
import torch._dynamo


class Classifier(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.linear = torch.nn.Linear(4, classes)
        self.classes = classes

    def forward(self, rows):
        return self.linear(rows) / self.classes


compiled = 0


def backend(graph, example):
    global compiled
    compiled += 1
    return graph.forward


def ask(model, rows, mode=torch.no_grad):
    """How often the call has made the backend compile."""
    before = compiled
    with mode():
        model(rows)
    return compiled - before


each = [ask(torch.compile(Classifier(2 + number).eval(), backend=backend), torch.ones(3, 4)) for number in range(10)]
print("ten models of a class are compiled so often:", each)
assert each == [1] * 8 + [0] * 2, each

torch._dynamo.reset()
model = torch.compile(Classifier(2).eval(), backend=backend, dynamic=True)
rows = torch.ones(5, 4)
print("one model, dynamic")


def look(what, made, expected):
    print(f"  {what}: {made}")
    assert made == expected, (what, made)


look("under no_grad", ask(model, rows), 1)
look("with 7 rows", ask(model, torch.ones(7, 4)), 0)
look("under inference_mode", ask(model, rows, torch.inference_mode), 1)
look("with gradients", ask(model, rows, torch.enable_grad), 1)
torch.set_num_threads(torch.get_num_threads() + 1)
look("with another number of threads", ask(model, rows), 1)
look("transposed", ask(model, torch.ones(4, 5).t()), 1)
look("every second row", ask(model, torch.ones(10, 4)[::2]), 1)
look("one row", ask(model, torch.ones(1, 4)), 1)
look("no row", ask(model, torch.ones(0, 4)), 1)
look("float64, after eight", ask(model.double(), rows.double()), 0)
print("as described")
PY
    { cat "$work/errors" >&2; exit 1; }
