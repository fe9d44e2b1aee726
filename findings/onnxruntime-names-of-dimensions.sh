#!/usr/bin/env bash
# onnxruntime 1.32.0: a dimension that has a name in an ONNX file is free, and the name binds nothing. Two inputs of shape
# [batch, 3] are taken with batches of 1 and 4: the one row is used for all four, and nobody is told. Sizes that are
# numbers are checked for inputs (INVALID_ARGUMENT), but for outputs they are a warning in the log: a model that states
# [1, 3] answers with [4, 3]. Who batches by a file's own shapes has to compare the sizes before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
cat > "$work/try.py" <<'PY'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper


def session(output, **inputs):
    graph = helper.make_graph(
        [helper.make_node("Add", list(inputs), ["y"])],
        "add",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    made = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    print("model:", *((each.name, each.shape) for each in (*made.get_inputs(), *made.get_outputs())))
    return made


def ask(made, a, b):
    arrays = {name: np.full(shape, 1, dtype=np.float32) for name, shape in (("a", a), ("b", b))}
    try:
        told = made.run(None, arrays)[0].shape
    except onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument:
        told = "INVALID_ARGUMENT"
    print(" ", a, "and", b, "->", told)
    return told


named = session(["batch", 3], a=["batch", 3], b=["batch", 3])
assert ask(named, (4, 3), (4, 3)) == (4, 3)
assert ask(named, (1, 3), (4, 3)) == (4, 3)
assert ask(named, (4, 1), (4, 3)) == "INVALID_ARGUMENT"
stated = session([1, 3], a=["rows", 3], b=[1, 3])
assert ask(stated, (4, 3), (1, 3)) == (4, 3)
assert ask(stated, (4, 3), (4, 3)) == "INVALID_ARGUMENT"
print("as described")
PY
"$work/venv/bin/python" "$work/try.py" 2> "$work/errors" || { cat "$work/errors" >&2; exit 1; }
