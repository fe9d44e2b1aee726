#!/usr/bin/env bash
# sagemaker-inference 1.10.1: its default input_fn compares Content-Type as a whole with the types that it knows. A body
# of "application/json; charset=utf-8", as HTTP clients in several languages send by themselves, is "not supported", as
# are Application/JSON and an Accept of "application/json;q=0.9"; and what is the caller's fault by that is told with 500,
# which counts against the endpoint and is tried again, not 415 or 406. Its CSV splits at each comma, in quotes or not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sagemaker-inference==1.10.1 numpy==2.2.6
mkdir -p "$work/model/code"
cat > "$work/model/code/inference.py" <<'PY'
def model_fn(model_dir):
    return None


def predict_fn(rows, model):
    return rows
PY
cat > "$work/try.py" <<'PY'
import logging
from types import SimpleNamespace

from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

logging.disable(logging.CRITICAL)


def answer(kind, accept, body):
    statuses = []
    properties = {"Content-Type": kind, "Accept": accept}
    context = SimpleNamespace(
        model_name="same",
        system_properties={"model_dir": "."},
        request_processor=[SimpleNamespace(get_request_properties=lambda: properties)],
        set_response_status=lambda code, phrase: statuses.append(code.value),
        set_response_content_type=lambda index, kind: None,
    )
    (text,) = Transformer(DefaultInferenceHandler()).transform([{"body": body}], context)
    print(f"{kind} | {accept} |", *statuses or [200], "|", repr(text.splitlines()[0] if statuses else text))


JSON, CSV = "application/json", "text/csv"
answer(JSON, JSON, b"[1, 2]")
answer(JSON + "; charset=utf-8", JSON, b"[1, 2]")
answer("Application/JSON", JSON, b"[1, 2]")
answer(JSON, JSON + ", */*", b"[1, 2]")
answer(JSON, JSON + ";q=0.9", b"[1, 2]")
answer(CSV, JSON, b'name,"one, two"\n')
PY
(cd "$work" && SAGEMAKER_BASE_DIR="$work" SAGEMAKER_SUBMIT_DIRECTORY="$work/model/code" SAGEMAKER_PROGRAM=inference.py \
  PYTHONPATH="$work/model/code" "$work/venv/bin/python" try.py) | tee "$work/seen"
test "$(cut -d '|' -f 3 "$work/seen" | tr -d ' \n')" = 200500500200500200
test "$(grep -c 'is not supported by this framework' "$work/seen")" = 3
grep -qF '["name", "\"one", " two\""]' "$work/seen" || grep -qF '\"one' "$work/seen"
echo "as described"
