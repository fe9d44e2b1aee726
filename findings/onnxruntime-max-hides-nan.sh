#!/usr/bin/env bash
# onnxruntime 1.32.0 and torch 2.13.0: whether a NaN among the inputs of a model shows in its answer depends on where it
# stands. Of a row that ends with NaN, ReduceMax tells the largest number, and of one that begins with NaN, NaN; ArgMax
# names the place of a number, or 0. GlobalMaxPool, too, passes over a NaN in most places. torch, which exports amax,
# argmax and max-pooling as these nodes, answers with NaN, and with its place, wherever it stands. So a check of the
# answers for NaN, which finds missing features with the torch model, finds them now and then with the exported one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
"$work/venv/bin/pip" install -q 'torch==2.13.0' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cd "$work"
venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

LENGTH = 9


def session(operator, rank, kind=TensorProto.FLOAT, **attributes):
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], **attributes)],
        "one node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * rank)],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda row: made.run(None, {"x": row.reshape([1] * (rank - 1) + [LENGTH])})[0].item()


def asked(name, predict):
    told = []
    for place in range(LENGTH):
        row = np.arange(1, LENGTH + 1, dtype=np.float32)
        row[place] = np.nan
        told.append(predict(row))
    print(f"{name}, NaN in place 0 to {LENGTH - 1}:", *told)
    return told


largest = asked("onnxruntime ReduceMax", session("ReduceMax", 2, axes=[1]))
assert np.isnan(largest[0]) and largest[-1] == 8, largest
place = asked("onnxruntime ArgMax", session("ArgMax", 2, TensorProto.INT64, axis=1))
assert place[-1] == 7, place
assert place[4] == 8, place
pooled = asked("onnxruntime GlobalMaxPool", session("GlobalMaxPool", 3))
assert 0 < sum(map(np.isnan, pooled)) < LENGTH or not any(map(np.isnan, pooled)), pooled
assert all(map(np.isnan, asked("torch amax", lambda row: torch.from_numpy(row).amax().item())))
assert asked("torch argmax", lambda row: torch.from_numpy(row).argmax().item()) == list(range(LENGTH))
pool = torch.nn.AdaptiveMaxPool1d(1)
assert all(map(np.isnan, asked("torch max-pooling", lambda row: pool(torch.from_numpy(row)[None]).item())))
print("as described")
PY
