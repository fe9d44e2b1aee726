#!/usr/bin/env bash
# kserve 0.21.0, asked by tritonclient 2.73.0: BYTES of the Open Inference Protocol are text where they come over REST, also in
# the binary extension, which exists for what JSON cannot hold: the bytes of a picture are refused there, with the advice
# to use binary_data=True, as was done. Over gRPC, the same tensor is taken. Bytes that are UTF-8 reach the model as str
# over REST and as bytes over gRPC, so that a model that works with one fails with the other.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2> /dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q kserve==0.21.0 'tritonclient[http,grpc]==2.73.0'
cat > "$work/serve.py" <<'PY'
import sys

from kserve import InferOutput, InferResponse, Model, ModelServer


class Kind(Model):
    def load(self):
        self.ready = True
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        kinds = [type(each).__name__ for each in payload.inputs[0].as_numpy().flat]
        return InferResponse("1", "kind", [InferOutput("kinds", [len(kinds)], "BYTES", kinds)])


model = Kind("kind")
model.load()
ModelServer(http_port=int(sys.argv[1]), grpc_port=int(sys.argv[2]), workers=1).start([model])
PY
cat > "$work/ask.py" <<'PY'
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

PICTURE = b"\x89PNG\r\n\x1a\n\xff\xd8"


def typed(answer):
    return [each.decode() for each in answer.outputs[0].contents.bytes_contents]


def ask(library, port, content, **how):
    client = library.InferenceServerClient(f"127.0.0.1:{port}")
    given = library.InferInput("x", [1], "BYTES")
    given.set_data_from_numpy(np.array([content], dtype=object), **how)
    try:
        answer = client.infer("kind", [given]).get_response()
        told = answer["outputs"][0]["data"] if isinstance(answer, dict) else typed(answer)
    except InferenceServerException as error:
        told = str(error)
    print(library.__name__, content, told)
    return told


http, grpc = sys.argv[1:]
seen = [
    ask(library, port, content, **how)
    for content in (b"a word", PICTURE)
    for library, port, how in (
        (tritonclient.http, http, {"binary_data": True}), (tritonclient.grpc, grpc, {})
    )
]
assert seen[0] == ["str"] and seen[1] == seen[3] == ["bytes"], seen
assert "using UTF-8. Please use binary_data=True" in seen[2], seen
print("as described")
PY
read -r http grpc < <(python3 -c '
import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(each.getsockname()[1] for each in sockets))')
setsid timeout -k 2 180 "$work/venv/bin/python" "$work/serve.py" "$http" "$grpc" > "$work/log" 2>&1 &
server=$!
for _ in $(seq 150); do
    curl -s -m 2 "http://127.0.0.1:$http/v2/models/kind/ready" | grep -q true && break
    sleep 0.4
done
"$work/venv/bin/python" -W ignore "$work/ask.py" "$http" "$grpc"
