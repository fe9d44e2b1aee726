#!/usr/bin/env bash
# torch-model-archiver 0.12.0: files are gathered in a folder of the model's name below the temporary one, and a folder
# that is there already is removed first, whatever it holds. Whoever works in /tmp/mnist and packs a model named mnist
# loses the sources: those that are not among the options at once, and the options' own, so that the packing fails, too.
# Two packings of one name at the same time share the folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch-model-archiver==0.12.0' 'setuptools<81'
export TMPDIR="$work/tmp"
mkdir -p "$TMPDIR/mnist" "$work/elsewhere"
echo 'def handle(data, context): return data' | tee "$TMPDIR/mnist/handler.py" > "$work/elsewhere/handler.py"
echo 'three weeks of work' > "$TMPDIR/mnist/notes.txt"
cd "$work/elsewhere"
echo "before: $(ls "$TMPDIR/mnist" | xargs)"
"$work/venv/bin/torch-model-archiver" --model-name mnist --version 1.0 --handler handler.py
echo "after, status $?: $(ls "$TMPDIR" | xargs)"
test -f mnist.mar
test ! -e "$TMPDIR/mnist"

mkdir "$TMPDIR/digits"
cp handler.py "$TMPDIR/digits"
cd "$TMPDIR/digits"
status=0
"$work/venv/bin/torch-model-archiver" --model-name digits --version 1.0 --handler "$TMPDIR/digits/handler.py" \
    --export-path "$work" > "$work/said" 2>&1 || status=$?
tail -1 "$work/said"
cd "$work"
test "$status" != 0
test ! -e "$TMPDIR/digits/handler.py"
echo "as described"
