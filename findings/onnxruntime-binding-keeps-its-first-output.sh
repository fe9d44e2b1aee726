#!/usr/bin/env bash
# onnxruntime 1.32.0: a binding whose output was bound by name alone (`bind_output("y")`) allocates it in the first run and
# binds that. The next run writes into the same memory: what get_outputs() gave for the first one, and arrays made of it
# by numpy(), change to the second one's answer. A batch of another size fails, as the output has the first one's shape,
# though the name of its dimension is open. copy_outputs_to_cpu() gives what stays. bind_output() before each run, on the
# same binding, makes a new one each time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
cd "$work"
venv/bin/python - 2> errors <<'PY' || { cat errors >&2; exit 1; }
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

graph = helper.make_graph(
    [helper.make_node("Neg", ["x"], ["y"])],
    "negative",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(binding, *rows):
    binding.bind_cpu_input("x", np.array(rows, dtype=np.float32))
    session.run_with_iobinding(binding)
    return binding.get_outputs()[0]


binding = session.io_binding()
binding.bind_output("y")
first = run(binding, [1, 2])
array, copied = first.numpy(), binding.copy_outputs_to_cpu()[0]
print("first run:", array.tolist())
assert array.tolist() == [[-1, -2]]
run(binding, [3, 4])
print(f"after the second run: output {first.numpy().tolist()}, array {array.tolist()}, copy {copied.tolist()}")
assert first.numpy().tolist() == array.tolist() == [[-3, -4]], array
assert copied.tolist() == [[-1, -2]], copied
try:
    run(binding, [5, 6], [7, 8])
except RuntimeError as error:
    reason = str(error)
    print("a batch of two:", reason[reason.index("The output OrtValue") :].split(".")[0])
    assert "has shape {1,2} but the computed output shape for this run is {2,2}" in reason, reason
else:
    raise SystemExit("the batch of two was run")
binding.bind_output("y")
again = run(binding, [5, 6], [7, 8])
print("bound again:", again.numpy().tolist(), "and the first output", array.tolist())
assert again.numpy().tolist() == [[-5, -6], [-7, -8]]
assert array.tolist() == [[-3, -4]], array
print("as described")
PY
