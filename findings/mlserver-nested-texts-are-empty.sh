#!/usr/bin/env bash
# mlserver 1.7.1: the protocol lets a client send tensors nested by their shape. Numbers that are sent so are read, texts
# are lost: [["cat"], ["dog"]] as BYTES of shape [2, 1] reaches a model as two empty texts, and [["cat", "dog"]] as one,
# through the string codec as through a signature of List[str]. Nothing is refused, the answer is 200. The flat list
# ["cat", "dog"] with the same shape is read.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q mlserver==1.7.1 numpy==2.2.6 httpx==0.28.1
cat > "$work/try.py" <<'PY'
import asyncio
from typing import List

import httpx
import numpy as np
from mlserver import MLModel, ModelSettings, MLServer, Settings
from mlserver.codecs import decode_args
from mlserver.rest.app import create_app


class Texts(MLModel):
    @decode_args
    async def predict(self, x: List[str]) -> List[str]:
        return [f"<{text}>" for text in x]


class Numbers(MLModel):
    @decode_args
    async def predict(self, x: np.ndarray) -> np.ndarray:
        return x


async def main():
    server = MLServer(Settings(debug=False, parallel_workers=0))
    for name, implementation in (("texts", Texts), ("numbers", Numbers)):
        await server._model_registry.load(ModelSettings(name=name, implementation=implementation))
    app = create_app(server._settings, server._data_plane, server._model_repository_handlers)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:

        async def ask(model, datatype, shape, data):
            body = {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]}
            answer = await client.post(f"/v2/models/{model}/infer", json=body)
            assert answer.status_code == 200, answer.text
            told = answer.json()["outputs"][0]["data"]
            print(f"{datatype} {shape} {data} gives {told}")
            return told

        assert await ask("numbers", "INT32", [2, 1], [[1], [2]]) == [1, 2]
        assert await ask("texts", "BYTES", [2, 1], ["cat", "dog"]) == ["<cat>", "<dog>"]
        assert await ask("texts", "BYTES", [2, 1], [["cat"], ["dog"]]) == ["<>", "<>"]
        assert await ask("texts", "BYTES", [1, 2], [["cat", "dog"]]) == ["<>"]


asyncio.run(main())
print("as described")
PY
"$work/venv/bin/python" -W ignore "$work/try.py" 2> "$work/errors" || { cat "$work/errors" >&2; exit 1; }
