#!/usr/bin/env bash
# sagemaker-inference 1.10.1 with numpy 2.2.6: what the decoder makes of a text/csv body follows its values. Two rows of
# "1.5,2.5" are an array of [2, 2], as are two of "1,2"; "1.5,2" and "3,4", with a column of whole numbers beside one of
# fractions, are a list of two records, without a second dimension. A field that is empty is -1 in a column of whole
# numbers, 0 where the body is a single row of them, and NaN among fractions. One row of three is what one column of three
# is: [3]. None of it is refused or logged; a model that was tried with fractions meets the rest from its clients.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sagemaker-inference==1.10.1 numpy==2.2.6 'setuptools<81'
"$work/venv/bin/python" -W ignore - <<'PY'
from sagemaker_inference.decoder import decode


def look(body):
    array = decode(body, "text/csv")
    told = f"{array.dtype.kind} {list(array.shape)} {array.tolist()}"
    print(f"{body!r}: {told}")
    return told


# The first letter is the kind: f for floats, i for whole numbers, V for records.
assert look("1.5,2.5\n3.5,4.5") == "f [2, 2] [[1.5, 2.5], [3.5, 4.5]]"
assert look("1,2\n3,4") == "i [2, 2] [[1, 2], [3, 4]]"
assert look("1.5,2\n3,4") == "V [2] [(1.5, 2), (3.0, 4)]"
assert look("1,2.5\n3,4") == "V [2] [(1, 2.5), (3, 4.0)]"
assert look("1.5,,3.5\n4.5,5.5,6.5").startswith("f [2, 3] [[1.5, nan, 3.5]")
assert look("1,,3\n4,5,6") == "i [2, 3] [[1, -1, 3], [4, 5, 6]]"
assert look("1,,3") == "i [3] [1, 0, 3]"
assert look("1,2,3") == look("1\n2\n3") == "i [3] [1, 2, 3]"
print("as described")
PY
