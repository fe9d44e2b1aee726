#!/usr/bin/env bash
# sagemaker-inference 1.10.1: its transformer takes batches (SAGEMAKER_TS_BATCH_SIZE sets their size), but reads the
# content type of the first request alone, for all of the batch: JSON that came behind CSV is taken for CSV, and answered
# with 200 from pieces of its text. One request that fails makes the answer of a batch a list of one, whatever its length: a
# server that pairs answers with requests by their place has none for the others.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q sagemaker-inference==1.10.1 numpy==2.2.6
mkdir -p "$work/model/code"
cat > "$work/model/code/inference.py" <<'PY'
def model_fn(model_dir):
    return lambda rows: [row * 2 for row in rows]


def predict_fn(rows, model):
    return model(rows)
PY
cat > "$work/try.py" <<'PY'
import logging
from types import SimpleNamespace

from sagemaker_inference.default_inference_handler import DefaultInferenceHandler
from sagemaker_inference.transformer import Transformer

logging.disable(logging.CRITICAL)


class Request:
    def __init__(self, kind):
        self.properties = {"Content-Type": kind, "Accept": "application/json"}

    def get_request_properties(self):
        return self.properties


def answer(*requests):
    told = []
    context = SimpleNamespace(
        model_name="double",
        system_properties={"model_dir": "."},
        request_processor=[Request(kind) for kind, _ in requests],
        set_response_status=lambda code, phrase: told.append(code),
        set_response_content_type=lambda index, kind: None,
    )
    answers = Transformer(DefaultInferenceHandler()).transform([{"body": body} for _, body in requests], context)
    print(len(requests), "requests,", len(answers), "answers, status", told, "|", *(answer.splitlines()[0] for answer in answers))


JSON, CSV = ("application/json", b"[1, 2]"), ("text/csv", b"1,2\n")
answer(JSON)
answer(CSV)
answer(JSON, JSON)
answer(JSON, ("application/json", b"[1,"))
answer(CSV, JSON)
PY
(cd "$work" && SAGEMAKER_BASE_DIR="$work" SAGEMAKER_SUBMIT_DIRECTORY="$work/model/code" SAGEMAKER_PROGRAM=inference.py \
  PYTHONPATH="$work/model/code" "$work/venv/bin/python" try.py) | tee "$work/seen"
grep -qF '2 requests, 1 answers, status [<HTTPStatus.INTERNAL_SERVER_ERROR: 500>]' "$work/seen"
grep -qF '2 requests, 2 answers, status [] | [2, 4] ["[1[1", " 2] 2]"]' "$work/seen"
echo "as described"
