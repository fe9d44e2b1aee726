"""Asks a server with KServe's client: PORT. Prints what it found as JSON; run where ``kserve`` is."""

import asyncio
import json
import sys

import numpy
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient

MODEL = "tensors"


async def main():
    client = InferenceGRPCClient(f"127.0.0.1:{sys.argv[1]}")
    values = numpy.array([[1.5, -2.0]], numpy.float32)
    told = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": await client.is_model_ready(MODEL),
    }
    for name, binary in (("typed", False), ("raw", True)):
        tensor = InferInput("x", list(values.shape), "FP32")
        tensor.set_data_from_numpy(values, binary_data=binary)
        response = await client.infer(InferRequest(MODEL, [tensor], request_id=name))
        told[name] = [response.id, response.outputs[0].as_numpy().tolist()]
    await client.close()
    print(json.dumps(told))


asyncio.run(main())
