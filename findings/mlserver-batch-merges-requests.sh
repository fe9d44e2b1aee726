#!/usr/bin/env bash
# mlserver 1.7.1: its adaptive batching makes one request of several, parameters included. A model reads one set of
# parameters for all of them, that of whoever came last: who asked with threshold 0.1 is answered with 0.9, and who gave
# none gets a stranger's. Inputs are joined by name, with the first one's datatype and the first one's shape behind the
# batch: [1, 2] and [1, 3] become [2, 2] with five values, INT64 and FP32 become INT64 with fractions. Nothing is refused.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q mlserver==1.7.1 numpy==2.2.6
cat > "$work/try.py" <<'PY'
import asyncio

from mlserver import MLModel, ModelSettings
from mlserver.batching import AdaptiveBatcher
from mlserver.context import model_context
from mlserver.types import InferenceRequest, InferenceResponse, Parameters, RequestInput, ResponseOutput

seen = []


class Model(MLModel):
    async def predict(self, payload):
        (given,) = payload.inputs
        values = list(given.data)
        threshold = getattr(payload.parameters, "threshold", None)
        seen.append((threshold, given.datatype, given.shape, values))
        print("  the model sees", *seen[-1])
        output = ResponseOutput(name="y", shape=given.shape[:1], datatype="FP64", data=[threshold] * given.shape[0])
        return InferenceResponse(model_name="m", outputs=[output])


def request(name, values, datatype="FP32", **parameters):
    given = RequestInput(name="x", shape=[1, len(values)], datatype=datatype, data=values)
    return InferenceRequest(id=name, parameters=Parameters(**parameters) if parameters else None, inputs=[given])


async def ask(what, *requests):
    print(what)
    settings = ModelSettings(name="m", implementation=Model, max_batch_size=len(requests), max_batch_time=5.0)
    with model_context(settings):
        batcher = AdaptiveBatcher(Model(settings))
        answers = await asyncio.wait_for(asyncio.gather(*map(batcher.predict, requests)), 30)
    for answer in answers:
        print("  answer", answer.id, list(answer.outputs[0].data))
    return [list(answer.outputs[0].data) for answer in answers]


async def main():
    answers = await ask("two thresholds", request("a", [1, 2], threshold=0.1), request("b", [3, 4], threshold=0.9))
    assert answers == [[0.9], [0.9]], answers
    answers = await ask("one threshold", request("a", [1, 2], threshold=0.1), request("b", [3, 4]))
    assert answers == [[0.1], [0.1]], answers
    await ask("two shapes", request("a", [1, 2], threshold=0), request("b", [3, 4, 5]))
    await ask("two datatypes", request("a", [1, 2], "INT64", threshold=0), request("b", [3.5, 4.5]))
    assert seen[2][1:] == ("FP32", [2, 2], [1, 2, 3, 4, 5]), seen[2]
    assert seen[3][1:] == ("INT64", [2, 2], [1, 2, 3.5, 4.5]), seen[3]


asyncio.run(main())
print("as described")
PY
"$work/venv/bin/python" -W ignore "$work/try.py" 2> "$work/errors" || { cat "$work/errors" >&2; exit 1; }
