#!/usr/bin/env bash
# onnxruntime 1.32.0: a string input takes an array of objects, and makes text of each element by str(). BYTES of the
# Open Inference Protocol are decoded to arrays of just that kind, with bytes in them: the model is given "b'cat'", with
# the letter b and the quotes, and neither refuses nor warns. A tokenizer or a table of words in the graph then looks
# up another word. None becomes "None", 1 becomes "1". The bytes have to be decoded first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6 'tritonclient[http]==2.73.0'
"$work/venv/bin/python" - <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

graph = helper.make_graph(
    [helper.make_node("LabelEncoder", ["word"], ["id"], domain="ai.onnx.ml", keys_strings=["cat", "dog"], values_int64s=[1, 2])],
    "words",
    [helper.make_tensor_value_info("word", TensorProto.STRING, ["n"])],
    [helper.make_tensor_value_info("id", TensorProto.INT64, ["n"])],
)
opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
words = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
graph = helper.make_graph(
    [helper.make_node("Identity", ["word"], ["same"])],
    "same",
    [helper.make_tensor_value_info("word", TensorProto.STRING, ["n"])],
    [helper.make_tensor_value_info("same", TensorProto.STRING, ["n"])],
)
model = helper.make_model(graph, opset_imports=opsets[:1], ir_version=8).SerializeToString()
same = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

sent = serialize_byte_tensor(np.array(["cat", "dog"], dtype=object)).item()
received = deserialize_bytes_tensor(sent)
decoded = np.array([each.decode() for each in received], dtype=object)
mixed = np.array(["cat", None, 1], dtype=object)
seen = []
for array in (received, decoded, mixed):
    seen.append((same.run(None, {"word": array})[0].tolist(), words.run(None, {"word": array})[0].tolist()))
    print(array.tolist(), "reach the model as", *seen[-1])
assert seen == [
    (["b'cat'", "b'dog'"], [-1, -1]), (["cat", "dog"], [1, 2]), (["cat", "None", "1"], [1, -1, -1])
], seen
print("as described")
PY
