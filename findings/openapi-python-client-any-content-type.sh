#!/usr/bin/env bash
# openapi-python-client 0.29.1: an operation whose request body has only the content type */* (as a model server's
# prediction route takes any body) is left out of the client as a whole. A warning is printed, the exit status is
# 0, and the client imports well; it simply has no such function. With application/octet-stream before it, the
# function is there, and takes a body.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'openapi-python-client==0.29.1'
export PATH="$work/venv/bin:$PATH"
cd "$work"
describe() {
    cat > "$1.json" <<JSON
{"openapi": "3.0.3", "info": {"title": "$1", "version": "1"}, "paths": {"/predictions/{model}": {"post": {
  "operationId": "predict", "parameters": [{"name": "model", "in": "path", "required": true,
  "schema": {"type": "string"}}], "requestBody": {"content": {$2
  "*/*": {"schema": {"type": "string", "format": "binary"}}}}, "responses": {"200": {"description": "ok"}}}}}}
JSON
    openapi-python-client generate --path "$1.json" --output-path "$1" > "$1.log" 2>&1
}
describe any ''
describe named '"application/octet-stream": {"schema": {"type": "string", "format": "binary"}},'
grep -A3 'Endpoint will not be generated' any.log
test -z "$(find any -name 'predict.py')"
function=$(find named -name 'predict.py')
grep -q 'body: File' "$function"
echo "as described"
