#!/usr/bin/env bash
# torch-model-archiver 0.12.0: TorchServe runs a handler named "file.py:function", but its archiver cannot pack one:
# it looks for a file of that whole name and ends with a traceback (FileNotFoundError, exit status 1). Without
# ".py" ("file:function") the archive is made. MMS's archiver takes the second form, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch-model-archiver==0.12.0' 'setuptools<81'
cd "$work"
echo 'def handle(data, context): return data' > h.py
status=0
venv/bin/torch-model-archiver --model-name m --version 1.0 --handler h.py:handle 2> said || status=$?
tail -1 said
test "$status" = 1
grep -q "^FileNotFoundError: .*'h.py:handle'" said
test ! -e m.mar
venv/bin/torch-model-archiver --model-name m --version 1.0 --handler h:handle
python3 -c 'import zipfile; names = zipfile.ZipFile("m.mar").namelist(); print(names); assert "h.py" in names'
echo "as described"
