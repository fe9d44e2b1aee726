#!/usr/bin/env bash
# torch-model-archiver 0.12.0: extra files lie flat in the archive, so two of one name (a/labels.json, b/labels.json)
# share one place: the later one wins, without a word and with exit status 0. A folder among the extra files does
# the same, since its content is taken, not the folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch-model-archiver==0.12.0' 'setuptools<81'
cd "$work"
mkdir -p a b
echo 'def handle(data, context): return data' > h.py
echo '{"0": "cat"}' > a/labels.json
echo '{"0": "dog"}' > b/labels.json
for extra in a/labels.json,b/labels.json a/labels.json,b; do
    said=$(venv/bin/torch-model-archiver --model-name m --version 1.0 --handler h.py --extra-files "$extra" --force 2>&1)
    python3 - "$extra" "$said" <<'PY'
import sys, zipfile
names = zipfile.ZipFile("m.mar").namelist()
labels = zipfile.ZipFile("m.mar").read("labels.json")
print(sys.argv[1], names, labels, repr(sys.argv[2]))
assert names.count("labels.json") == 1 and b"dog" in labels
assert "labels" not in sys.argv[2]
PY
done
echo "as described"
