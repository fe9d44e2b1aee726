#!/usr/bin/env bash
# tritonclient 2.73.0 (gRPC) with numpy 2: the Open Inference Protocol lets a server answer with raw_output_contents or with
# typed contents in each tensor, as servers do that are not Triton. as_numpy() reads the former alone: FP32 in
# fp32_contents are taken for no elements, and end with ValueError in reshape(); BYTES in bytes_contents with ValueError,
# too, as numpy 2 has no copy=False in that sense. The numbers are there in get_response(). A server that is to be
# asked by this client has to answer raw.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'tritonclient[grpc]==2.73.0' grpcio==1.85.3 numpy==2.2.6
cat > "$work/try.py" <<'PY'
import concurrent.futures

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    def ModelInfer(self, request, context):
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        if request.model_name == "words":
            answer.outputs.add(name="y", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"a", b"b"])
            return answer
        output = answer.outputs.add(name="y", datatype="FP32", shape=[2])
        if request.model_name == "raw":
            answer.raw_output_contents.append(np.array([1, 2], dtype=np.float32).tobytes())
        else:
            output.contents.fp32_contents.extend([1, 2])
        return answer


def ask(model):
    given = triton.InferInput("x", [1], "FP32")
    given.set_data_from_numpy(np.ones(1, dtype=np.float32))
    result = client.infer(model, [given])
    try:
        told = result.as_numpy("y").tolist()
    except ValueError as error:
        told = "ValueError: " + str(error).splitlines()[0]
    print(f"{model}: as_numpy gives {told}; contents: {str(result.get_response().outputs[0].contents).split() or None}")
    return told


server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Server(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
client = triton.InferenceServerClient(f"127.0.0.1:{port}")
raw, numbers, words = map(ask, ("raw", "numbers", "words"))
client.close()
server.stop(None).wait(10)
assert raw == [1, 2], raw
assert numbers.startswith("ValueError: cannot reshape array of size 0"), numbers
assert words.startswith("ValueError: Unable to avoid copy"), words
print("as described")
PY
GRPC_VERBOSITY=NONE "$work/venv/bin/python" "$work/try.py"
