#!/usr/bin/env bash
# pip 26.3: `pip install --target`, as model servers use it for a model's own requirements, knows only what lies at the
# top of the folder. With --upgrade, a second call replaces a whole namespace package: googleapis-common-protos, which
# brings google/api, deletes google/protobuf, and protobuf still counts as installed. Without, a second call that brings
# another version leaves the old code in place, says so in a warning, and ends with 0; the new version's metadata lie
# beside the old ones, so that pip has "Successfully installed" what cannot be imported.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pip==26.3
put() { "$work/venv/bin/python" -m pip install -q --no-deps --target "$work/$1" "${@:2}" 2>> "$work/warnings"; }
look() {
    echo "$1: $(cd "$work/$1" && ls -d google/* ./*.dist-info | tr '\n' ' ')"
}

put replaced --upgrade protobuf==6.33.5
PYTHONPATH="$work/replaced" "$work/venv/bin/python" -c "import google.protobuf"
put replaced --upgrade googleapis-common-protos==1.72.0
look replaced
[ ! -e "$work/replaced/google/protobuf" ]
[ -d "$work/replaced/google/api" ]
[ -d "$work/replaced/protobuf-6.33.5.dist-info" ]

put kept protobuf==6.33.4
put kept protobuf==6.33.5 # ends with 0
put kept googleapis-common-protos==1.72.0
look kept
[ ! -e "$work/kept/google/api" ]
[ -d "$work/kept/protobuf-6.33.5.dist-info" ]
[ -d "$work/kept/googleapis_common_protos-1.72.0.dist-info" ]
PYTHONPATH="$work/kept" "$work/venv/bin/python" -c "
import google.protobuf
print('kept: protobuf is', google.protobuf.__version__)
assert google.protobuf.__version__ == '6.33.4'"
grep "already exists. Specify --upgrade" "$work/warnings" | head -1 | sed "s|$work/||"

put together --upgrade protobuf==6.33.5 googleapis-common-protos==1.72.0 # in one call, both are there
look together
PYTHONPATH="$work/together" "$work/venv/bin/python" -c "import google.protobuf, google.api.http_pb2"
echo "as described"
