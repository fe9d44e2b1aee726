#!/usr/bin/env bash
# tritonclient 2.73.0: a BYTES input takes numpy arrays of bytes and of objects, but not of text: np.array(["ab"])
# has dtype <U2, for which the client knows no datatype, so the error speaks of datatype None instead of text.
# dtype=object (or np.bytes_) is what works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'tritonclient[http]==2.73.0' numpy
"$work/venv/bin/python" - <<'PY'
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

def take(array):
    triton.InferInput("x", [2], "BYTES").set_data_from_numpy(array)

take(np.array(["ab", "c"], dtype=object))
take(np.array([b"ab", b"c"]))
try:
    take(np.array(["ab", "c"]))
except InferenceServerException as error:
    print(error)
    assert "unexpected datatype None" in str(error), error
else:
    raise SystemExit("an array of text was taken")
print("as described")
PY
