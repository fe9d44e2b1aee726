#!/usr/bin/env bash
# torch 2.13.0: a program that is exported with Dim("b", min=1) says that its first dimension begins at 1, and takes a
# batch of one. The AOTInductor package that is compiled from it takes one as well, but where
# AOTI_RUNTIME_CHECK_INPUTS=1 has its checks made, it refuses one: its own bound is 2, whatever the program says.
# (Needs a C++ compiler. Who serves such packages with the checks on has to pad a batch of one.)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'torch==2.13.0' 'setuptools<81' 'numpy<3' ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}
cat > "$work/try.py" <<'PY'
import sys

import torch


class Double(torch.nn.Module):
    def forward(self, x):
        return x * 2


path = sys.argv[1]
if sys.argv[2] == "compile":
    batch = torch.export.Dim("b", min=1)
    program = torch.export.export(Double(), (torch.randn(4, 3),), dynamic_shapes={"x": {0: batch}})
    (bounds,) = program.range_constraints.values()
    print("the program begins at", bounds.lower, "and answers one with", tuple(program.module()(torch.randn(1, 3)).shape))
    assert bounds.lower == 1
    torch._inductor.aoti_compile_and_package(program, package_path=path)
else:
    package = torch._inductor.aoti_load_package(path)
    print("two:", tuple(package(torch.randn(2, 3)).shape))
    try:
        print("one:", tuple(package(torch.randn(1, 3)).shape))
    except RuntimeError as error:
        print("one:", error)
PY
cd "$work"
export TORCHINDUCTOR_CACHE_DIR="$work/cache"
venv/bin/python -W ignore try.py "$work/double.pt2" compile
plain=$(venv/bin/python -W ignore try.py "$work/double.pt2" load 2> /dev/null)
checked=$(AOTI_RUNTIME_CHECK_INPUTS=1 venv/bin/python -W ignore try.py "$work/double.pt2" load 2> /dev/null)
printf 'without checks:\n%s\nwith checks:\n%s\n' "$plain" "$checked"
grep -q 'one: (1, 3)' <<< "$plain"
grep -q 'two: (2, 3)' <<< "$checked"
grep -q 'one: .*expected it to be >= 2' <<< "$checked"
echo "as described"
