"""Asks a server with Triton's client: PORT. Prints what it found, as JSON; run where that client is."""

import json
import queue
import sys

import numpy
from tritonclient import grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype

MODEL = "tensors"
TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of each datatype are in a message; FP16 has no such place."""


def values():
    """Yield an array of each datatype, with its extremes."""
    yield numpy.array([[True, False]])
    for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
        limits = numpy.iinfo(kind)
        yield numpy.array([[limits.min, 1, limits.max]], kind)
    for kind in ["float16", "float32", "float64"]:
        limits = numpy.finfo(kind)
        yield numpy.array([[limits.min, -0.5, limits.max]], kind)
    yield numpy.array([[b"", "größe".encode(), b"\x00\xff"]], object)


def same(one, other):
    return one is not None and one.dtype == other.dtype and numpy.array_equal(one, other)


def as_input(array, name="x"):
    tensor = triton.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def raw(client):
    """The datatypes whose tensors come back unchanged as raw bytes."""
    told = []
    for array in values():
        result = client.infer(MODEL, [as_input(array)], request_id="mine")
        response = result.get_response()
        assert response.id == "mine" and len(response.raw_output_contents) == 1, response
        assert list(response.outputs[0].shape) == list(array.shape), response
        if same(result.as_numpy("x"), array):
            told.append(np_to_triton_dtype(array.dtype))
    return told


def typed(client):
    """The datatypes whose tensors come back unchanged as typed contents."""
    told = []
    for array in values():
        datatype = np_to_triton_dtype(array.dtype)
        place = TYPED.get(datatype)
        if place is None:
            continue
        request = service_pb2.ModelInferRequest(model_name=MODEL, id="mine")
        tensor = request.inputs.add(name="x", datatype=datatype, shape=array.shape)
        getattr(tensor.contents, place).extend(array.flatten().tolist())
        response = client._client_stub.ModelInfer(request)
        assert not response.raw_output_contents, response
        if list(getattr(response.outputs[0].contents, place)) == array.flatten().tolist():
            told.append(datatype)
    return told


def stream(client):
    """What comes of requests on one stream: the ids of answers, and the text of an error."""
    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    array = numpy.array([[1.5]], numpy.float32)
    told = []
    for number in range(3):
        client.async_stream_infer(MODEL, [as_input(array * number)], request_id=str(number))
        result, error = answers.get(timeout=30)
        assert error is None and same(result.as_numpy("x"), array * number), error
        told.append(result.get_response().id)
    client.async_stream_infer("nope", [as_input(array)])
    result, error = answers.get(timeout=30)
    assert result is None, result
    told.append(error.message().splitlines()[0])
    client.async_stream_infer(MODEL, [as_input(array)], request_id="after it")
    told.append(answers.get(timeout=30)[0].get_response().id)
    client.stop_stream()
    return told


def refused(call):
    try:
        call()
    except triton.InferenceServerException as error:
        return error.status()
    return None


def main():
    client = triton.InferenceServerClient(f"127.0.0.1:{sys.argv[1]}")
    metadata = client.get_model_metadata(MODEL)
    many = numpy.arange(1_000_000, dtype=numpy.float32).reshape(1000, 1000)
    both = [as_input(numpy.array([1], numpy.int64)), as_input(numpy.array([2.0]), "y")]
    two = client.infer(MODEL, both)
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready(MODEL),
        "server": bool(client.get_server_metadata().name),
        "model": [metadata.name, list(metadata.versions), [each.name for each in metadata.inputs]],
        "raw": raw(client),
        "typed": typed(client),
        "large": same(client.infer(MODEL, [as_input(many)]).as_numpy("x"), many),
        "two": [two.as_numpy("x").tolist(), two.as_numpy("y").tolist()],
        "compressed": same(
            client.infer(MODEL, [as_input(many)], compression_algorithm="gzip").as_numpy("x"), many
        ),
        "stream": stream(client),
        "unknown": refused(lambda: client.infer("nope", [as_input(many[:1])])),
        "late": refused(lambda: client.infer(MODEL, [as_input(many)], client_timeout=1e-6)),
        "statistics": client.get_inference_statistics(MODEL, as_json=True)["model_stats"][0]["name"],
    }
    client.close()
    print(json.dumps(told))


main()
