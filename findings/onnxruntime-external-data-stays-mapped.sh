#!/usr/bin/env bash
# onnxruntime 1.32.0: weights that an ONNX file keeps in a file beside it are mapped, not read, on the CPU. A session that
# has answered already computes with what that file holds by now: new weights that are written into it in place (as rsync
# --inplace does) are in force at once, though the session is the old one, and the .onnx file, its cache key and its
# version have not changed. Weights inside the .onnx file are read once and kept.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
cd "$work"
venv/bin/python - <<'PY'
import os
import shutil

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SIZE = [1000, 1000]


def write(name, value, **how):
    """Write the model y = a + value."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "w"], ["y"])],
        "add",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, SIZE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, SIZE)],
        [numpy_helper.from_array(np.full(SIZE, value, dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, name, **how)


def watch(live, new):
    session = onnxruntime.InferenceSession(live.partition(".data")[0], providers=["CPUExecutionProvider"])
    zeros = np.zeros(SIZE, dtype=np.float32)
    before = session.run(None, {"a": zeros})[0].mean()
    assert os.path.getsize(live) == os.path.getsize(new)
    with open(new, "rb") as source, open(live, "r+b") as target:
        shutil.copyfileobj(source, target)
    after = session.run(None, {"a": zeros})[0].mean()
    print(f"{live}: mean {before:.0f} before, {after:.0f} after")
    return before, after


for name, value in (("live.onnx", 1), ("next.onnx", 2)):
    write(name, value, save_as_external_data=True, location=name + ".data", size_threshold=0)
moved = watch("live.onnx.data", "next.onnx.data")
for name, value in (("whole.onnx", 1), ("other.onnx", 2)):
    write(name, value)
kept = watch("whole.onnx", "other.onnx")
assert moved == (1, 2), moved
assert kept == (1, 1), kept
print("as described")
PY
