#!/usr/bin/env bash
# onnxruntime 1.32.0 (quantize_dynamic) and torch 2.13.0 (torch.ao.quantization.quantize_dynamic): a model that is quantized
# dynamically takes one scale for a whole input tensor, so for a whole batch. The answer to a request depends on who came
# along: beside a row with one value of 1000, a row of ordinary values, which alone is answered to within 0.1, is answered
# with zeros in both. Nothing is refused or logged. Behind a server that makes batches, one client's outlier ruins the
# answers of others. The model that was not quantized answers the same alone and in company.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
"$work/venv/bin/pip" install -q 'torch==2.13.0' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cd "$work"
venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic

rng = np.random.default_rng(1)
weights = rng.normal(size=(16, 4)).astype(np.float32)
row = rng.normal(size=(1, 16)).astype(np.float32)
company = row.copy()
company[0, 0] = 1000

graph = helper.make_graph(
    [helper.make_node("MatMul", ["x", "w"], ["y"])],
    "linear",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
    [numpy_helper.from_array(weights, "w")],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "plain.onnx")
quantize_dynamic("plain.onnx", "quantized.onnx")


def session(path):
    made = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda batch: made.run(None, {"x": batch})[0]


linear = torch.nn.Sequential(torch.nn.Linear(16, 4, bias=False)).eval()
linear[0].weight.data = torch.from_numpy(weights.T.copy())
quantized = torch.ao.quantization.quantize_dynamic(linear, {torch.nn.Linear}, dtype=torch.qint8)


def module(made):
    return lambda batch: made(torch.from_numpy(batch)).detach().numpy()


for name, predict, is_quantized in (
    ("onnxruntime", session("plain.onnx"), False),
    ("onnxruntime, quantized", session("quantized.onnx"), True),
    ("torch", module(linear), False),
    ("torch, quantized", module(quantized), True),
):
    alone, together = predict(row)[0], predict(np.concatenate([row, company]))[0]
    print(f"{name}: alone {alone.round(2).tolist()}, in company {together.round(2).tolist()}")
    assert np.abs(alone - row[0] @ weights).max() < 0.1, alone
    assert not together.any() if is_quantized else np.allclose(alone, together, rtol=0, atol=1e-4), together
print("as described")
PY
