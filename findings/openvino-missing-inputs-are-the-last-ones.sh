#!/usr/bin/env bash
# openvino 2026.4.1: an input that a call of a compiled model leaves out is not missed: it is what the call before gave,
# whoever made that. A model of a + b that was asked with b = 10 answers a = 2 alone with 12, and a call without any
# input with the answer before. Nothing is refused or logged; a name that the model does not know is refused. (A
# compiled model that is called does not copy its inputs: if an array is gone by then, its memory is read all the same,
# with what lies there now.) onnxruntime 1.32.0 refuses a missing input of the same file. So a server that passes on the
# inputs that a client has named mixes one client's values into another's answer.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6
cd "$work"
venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

graph = helper.make_graph(
    [helper.make_node("Add", ["a", "b"], ["y"])],
    "add",
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "ab"],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "add.onnx")
core = openvino.Core()
model = core.compile_model(core.read_model("add.onnx"), "CPU")


kept = []


def row(value):
    kept.append(np.full((1, 2), value, dtype=np.float32))
    return kept[-1]


def ask(predict, **inputs):
    try:
        told = predict(inputs)[0].tolist()
    except Exception as error:
        told = type(error).__name__
    print("  ", {name: array.tolist() for name, array in inputs.items()}, "->", told)
    return told


print("openvino, one compiled model")
assert ask(model, a=row(1), b=row(10)) == [[11, 11]]
assert ask(model, a=row(2)) == [[12, 12]]
assert ask(model) == [[12, 12]]
assert ask(model, a=row(1), c=row(1)) == "RuntimeError"
print("openvino, a request that is made once and used again")
request = model.create_infer_request()
assert ask(request.infer, a=row(1), b=row(20)) == [[21, 21]]
assert ask(request.infer, a=row(2)) == [[22, 22]]
print("onnxruntime")
session = onnxruntime.InferenceSession("add.onnx", providers=["CPUExecutionProvider"])
assert ask(lambda inputs: session.run(None, inputs), a=row(1), b=row(10)) == [[11, 11]]
assert ask(lambda inputs: session.run(None, inputs), a=row(2)) == "ValueError"
print("as described")
PY
