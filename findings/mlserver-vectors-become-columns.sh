#!/usr/bin/env bash
# mlserver 1.7.1: its NumpyCodec writes an array of one dimension, [3], as a tensor of shape [3, 1], for inputs and outputs
# alike, and reads it as such. What a model returns as a vector is a column for its client, and subtracting the vector of
# expected values from it gives a matrix of nine differences, not three; a model that multiplies by a vector of its own
# answers with one, too. A number without dimensions becomes [1]. Arrays of two dimensions and more stay as they are.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q mlserver==1.7.1 numpy==2.2.6
cat > "$work/try.py" <<'PY'
import numpy as np
from mlserver.codecs import NumpyCodec, NumpyRequestCodec

seen = []
for array in (np.float32(7), np.ones(3, dtype=np.float32), np.ones((1, 3), dtype=np.float32), np.ones((3, 1, 2))):
    array = np.asarray(array)
    output = NumpyCodec.encode_output("y", array)
    answer = NumpyCodec.decode_output(output)
    asked = NumpyRequestCodec.decode_request(NumpyRequestCodec.encode_request(array))
    seen.append((array.shape, tuple(output.shape), answer.shape, asked.shape))
    print("shape", array.shape, "is sent as", output.shape, "and read as", answer.shape, "; a request's as", asked.shape)
expected = np.ones(3, dtype=np.float32)
answer = NumpyCodec.decode_output(NumpyCodec.encode_output("y", expected))
print("differences of three answers from three expected values:", (answer - expected).shape)
assert (answer - expected).shape == (3, 3)
assert seen[0] == ((), (1,), (1,), (1,)), seen
assert seen[1] == ((3,), (3, 1), (3, 1), (3, 1)), seen
assert all(set(each) == {each[0]} for each in seen[2:]), seen
print("as described")
PY
"$work/venv/bin/python" -W ignore "$work/try.py"
