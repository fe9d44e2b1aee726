#!/usr/bin/env bash
# onnx 1.23.2: version_converter.convert_version() makes models of another opset that compute something else. Upsample
# of opset 9 and Resize of 10 in mode "linear" become a Resize of 13 that takes the pixels' middles for their places,
# the new default, where the old one took their corners: every interpolated value moves, and half-sized pictures are of
# other pixels. Hardmax of 11 keeps its missing axis, whose default was 1 and is -1 now, and Softmax(axis=1) of 13
# becomes one of 12 that takes all behind axis 1 together. The checker finds nothing, shapes are right, nothing is
# logged. Softmax of 11, Clip, Pad and ReduceSum are converted well. Run by onnxruntime 1.32.0, which has all of these
# opsets.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
"$work/venv/bin/python" -W ignore - 2> "$work/errors" <<'PY' ||
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, version_converter


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def is_same(operator, before, after, x, scale=None, **attributes):
    scales = [] if scale is None else [numpy_helper.from_array(np.float32([1, 1, scale, scale]), "scales")]
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *(each.name for each in scales)], ["y"], **attributes)],
        "one node",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        scales,
    )
    old = helper.make_model(graph, opset_imports=[helper.make_opsetid("", before)], ir_version=8)
    new = version_converter.convert_version(old, after)
    new.ir_version = 8
    onnx.checker.check_model(new)
    was, told = run(old, x), run(new, x)
    assert was.shape == told.shape
    same = np.allclose(was, told, atol=1e-5)
    print(f"{operator} {attributes} of opset {before} as {after}:", "same" if same else "other", end="")
    print("" if same else f", {was.ravel()[:5].round(2)} is {told.ravel()[:5].round(2)}")
    return same


picture = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
rows = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float32)
assert not is_same("Upsample", 9, 13, picture, 2, mode="linear")
assert not is_same("Resize", 10, 13, picture, 2, mode="linear")
assert not is_same("Resize", 10, 13, picture, 0.5, mode="linear")
assert is_same("Resize", 10, 13, picture, 2, mode="nearest")
assert not is_same("Hardmax", 11, 13, rows)
assert not is_same("Softmax", 13, 12, rows, axis=1)
assert is_same("Softmax", 11, 13, rows)
assert is_same("Softmax", 13, 12, rows)
assert is_same("Clip", 10, 13, rows, min=0.0, max=1.0)
assert is_same("Pad", 10, 13, rows, pads=[0, 0, 1, 0, 0, 1], value=2.0)
assert is_same("ReduceSum", 10, 18, rows, axes=[1])
print("as described")
PY
    { cat "$work/errors" >&2; exit 1; }
