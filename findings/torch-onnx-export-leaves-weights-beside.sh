#!/usr/bin/env bash
# torch 2.13.0 with onnxscript 0.7.2: torch.onnx.export writes two files by default, also of a model of a few kilobytes:
# model.onnx has the graph, model.onnx.data the weights. (Up to torch 2.8, the default exporter did so only where 2 GB were
# exceeded.) torch-model-archiver 0.12.0 packs the file that --serialized-file names, and ends with status 0: the archive
# has no weights, and fails where it is loaded. --extra-files model.onnx.data, or external_data=False in the export, keeps
# them together.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch==2.13.0' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
"$work/venv/bin/pip" install -q onnxscript==0.7.2 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.2.6 \
    'torch-model-archiver==0.12.0' 'setuptools<81'
cd "$work"
echo 'def handle(data, context): return data' > h.py
cat > try.py <<'PY'
import os
import sys

if sys.argv[1] == "export":
    import torch

    model = torch.nn.Linear(64, 64).eval()
    torch.onnx.export(model, (torch.ones(1, 64),), "model.onnx", verbose=False)
    torch.onnx.export(model, (torch.ones(1, 64),), "whole.onnx", verbose=False, external_data=False)
else:
    import onnxruntime

    try:
        onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
        print(sys.argv[2], "is loaded")
    except Exception as error:
        print(sys.argv[2], "is not loaded:", type(error).__name__)
PY
venv/bin/python -W ignore try.py export > export.log 2>&1
stat -c '%n: %s bytes' model.onnx* whole.onnx*
for what in model whole; do
    venv/bin/torch-model-archiver --model-name "$what" --version 1.0 --handler h.py --serialized-file "$what.onnx"
    python3 -m zipfile -e "$what.mar" "unpacked.$what"
    venv/bin/python try.py load "unpacked.$what/$what.onnx" 2> /dev/null | tee "seen.$what"
done
test -s model.onnx.data && test ! -e whole.onnx.data
test ! -e unpacked.model/model.onnx.data
grep -q 'is not loaded' seen.model
grep -q 'is loaded' seen.whole
echo "as described"
