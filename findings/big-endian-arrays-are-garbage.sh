#!/usr/bin/env bash
# onnxruntime 1.32.0, xgboost-cpu 3.2.0 and pyarrow 26.0.1 with numpy 2.2.6: an array in network byte order, as
# np.frombuffer(body, ">f4") or a .npy file of another machine gives it, is an ordinary array to numpy, and its dtype is
# equal to float32 in its kind and size. These three take it and read its bytes the wrong way round: 1 and 2 become
# 4.6e-41 and 9e-44, and xgboost answers as if they were zeros. (A pyarrow Tensor does so; pyarrow.array() refuses.)
# lightgbm 4.7.0, catboost 1.2.10, openvino 2026.4.1, scikit-learn and safetensors convert it; onnx.numpy_helper refuses
# it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6 xgboost-cpu==3.2.0 pyarrow==26.0.1 \
    lightgbm==4.7.0 catboost==1.2.10 openvino==2026.4.1 scikit-learn==1.7.2 safetensors==0.8.0
cd "$work"
venv/bin/python -W ignore - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import catboost
import lightgbm
import numpy as np
import onnx
import onnxruntime
import openvino
import pyarrow
import safetensors.numpy
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestRegressor

little = np.array([[1, 2]], dtype="<f4")
big = np.frombuffer(little.astype(">f4").tobytes(), dtype=">f4").reshape(1, 2)
assert (big == little).all()
x = np.random.default_rng(1).normal(size=(300, 2))
y = 10 * x[:, 0]
graph = helper.make_graph(
    [helper.make_node("Identity", ["x"], ["y"])],
    "identity",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "same.onnx")
session = onnxruntime.InferenceSession("same.onnx", providers=["CPUExecutionProvider"])
compiled = openvino.compile_model("same.onnx", "CPU")
trees = {
    "xgboost": xgboost.XGBRegressor(n_estimators=10),
    "lightgbm": lightgbm.LGBMRegressor(n_estimators=10, verbose=-1),
    "catboost": catboost.CatBoostRegressor(iterations=10, verbose=0, allow_writing_files=False),
    "scikit-learn": RandomForestRegressor(n_estimators=10),
}
ways = {
    "onnxruntime": lambda array: session.run(None, {"x": array})[0],
    "xgboost DMatrix": lambda array: xgboost.DMatrix(array).get_data().toarray(),
    "pyarrow Tensor": lambda array: pyarrow.Tensor.from_numpy(array).to_numpy(),
    "openvino": lambda array: compiled(array)[0],
    "safetensors": lambda array: safetensors.numpy.load(safetensors.numpy.save({"x": array}))["x"],
    "onnx.numpy_helper": lambda array: numpy_helper.to_array(numpy_helper.from_array(array)),
    "pyarrow.array": lambda array: pyarrow.array(array[0]).to_numpy(),
    **{name: model.fit(x, y).predict for name, model in trees.items()},
}
wrong, refused = set(), set()
for name, way in ways.items():
    expected = way(little)
    try:
        told = way(big)
    except Exception as error:
        refused.add(name)
        told = type(error).__name__
    else:
        if not np.allclose(expected, told):
            wrong.add(name)
    print(f"{name}: {np.ravel(expected)} of little-endian, {np.ravel(told)} of big-endian")
assert wrong == {"onnxruntime", "xgboost", "xgboost DMatrix", "pyarrow Tensor"}, wrong
assert refused == {"onnx.numpy_helper", "pyarrow.array"}, refused
print("as described")
PY
