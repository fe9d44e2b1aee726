"""The rows of the inference API: what is asked, and what the handler or the client then has."""

from __future__ import annotations

import json

from tests.peers.probe_requests import FORM, JSON, MULTIPART, PARTS, TEXT, Ask, Told

KEEP, CLOSE = {"connection": "keep-alive"}, {"connection": "close"}
ERROR_HEADERS = {"content-type": "application/json", **CLOSE}
NOT_FOUND = (
    404,
    "ResourceNotFoundException",
    "Requested resource is not found, please refer to API document.",
)
CONTEXT = {
    "name": "probe",
    "properties": {
        "gpu_id": None,
        "batch_size": 1,
        "server_name": "MMS",
        "limit_max_image_pixels": True,
    },
    "folder": True,
    "version": "str",
    "manifest": "probe",
    "yaml": {},
}


def raw(text: str) -> list[object]:
    """How the handler shows bytes."""
    return ["bytearray", text]


INPUTS: dict[str, tuple[Ask, dict[str, object]]] = {
    "bytes": (Ask(body=b"\x00\xff"), {"body": raw("\x00\xff")}),
    "nothing": (Ask(), {"body": raw("")}),
    "GET": (Ask(method="GET"), {"body": raw("")}),
    "PUT": (Ask(method="PUT", body=b"p"), {"body": raw("p")}),
    "JSON object": (Ask(body=b'{"a": 1}', headers=JSON), {"body": ["dict", {"a": 1}]}),
    "JSON list": (Ask(body=b"[1, 2]", headers=JSON), {"body": ["list", [1, 2]]}),
    "JSON with parameters": (
        Ask(body=b"1", headers={"Content-Type": "application/json; charset=utf-8"}),
        {"body": ["int", 1]},
    ),
    "JSON in capitals is none": (
        Ask(body=b"1", headers={"Content-Type": "Application/JSON"}),
        {"body": raw("1")},
    ),
    "JSON that is broken": (Ask(body=b'{"a": ', headers=JSON), {"body": raw('{"a": ')}),
    "JSON that is empty": (Ask(headers=JSON), {"body": raw("")}),
    "text": (Ask(body="grüß".encode(), headers=TEXT), {"body": ["str", "grüß"]}),
    "text of another kind": (
        Ask(body=b"1,2", headers={"Content-Type": "text/csv"}),
        {"body": ["str", "1,2"]},
    ),
    "text that is no UTF-8": (Ask(body=b"\xff\xfe", headers=TEXT), {"body": raw("\xff\xfe")}),
    "octets": (
        Ask(body=b"1", headers={"Content-Type": "application/octet-stream"}),
        {"body": raw("1")},
    ),
    "form": (
        Ask(body=b"a=1&b=x%20y&a=2&e=", headers=FORM),
        {"a": raw("2"), "b": raw("x y"), "e": raw("")},
    ),
    "multipart": (
        Ask(body=PARTS, headers=MULTIPART),
        {
            "a": raw("one"),
            "f": ["dict", {"x": 1}],
            "t": ["str", "text"],
            "n": raw("raw"),
            "j": raw('{"y": 2}'),
            "d": ["str", "last"],
        },
    ),
    "multipart without a boundary is bytes": (
        Ask(body=b"--B", headers={"Content-Type": "multipart/form-data"}),
        {"body": raw("--B")},
    ),
    "no query of a prediction": (Ask("/predictions/probe?q=1", b"x"), {"body": raw("x")}),
    "query of an invocation": (
        Ask("/invocations?model_name=probe&q=1", b"x"),
        {"body": raw("x"), "model_name": raw("probe"), "q": raw("1")},
    ),
    "query of an invoke": (
        Ask("/models/probe/invoke?q=1&q=2&z=", b"x"),
        {"body": raw("x"), "q": raw("2"), "z": raw("")},
    ),
    "query of the old route": (Ask("/probe/predict?q=1", b"x"), {"body": raw("x"), "q": raw("1")}),
    "form before query": (Ask("/probe/predict?a=q", b"a=form", FORM), {"a": raw("form")}),
    "only model of the start": (Ask("/invocations", b"x"), {"body": raw("x")}),
    "encoded name": (Ask("/predictions/pr%6fbe", b"x"), {"body": raw("x")}),
    "slash at the end": (Ask("/predictions/probe/", b"x"), {"body": raw("x")}),
}
"""What a handler gets as ``data``: section 4, and the routes of section 1 that both dialects have."""

TORCHSERVE_INPUTS: dict[str, tuple[Ask, dict[str, object]]] = {
    "version": (Ask("/predictions/probe/1.0", b"x"), {"body": raw("x")}),
    "path below": (Ask("/predictions/probe/1.0/a/b", b"x"), {"body": raw("x")}),
    "old route with a version": (Ask("/probe/1.0/predict", b"x"), {"body": raw("x")}),
    "explanations": (Ask("/explanations/probe", b"x"), {"body": raw("x")}),
    "KServe 1": (Ask("/v1/models/probe:predict?q=1", b"x"), {"body": raw("x")}),
    "KServe 1 explain": (Ask("/v1/models/probe:explain", b"x"), {"body": raw("x")}),
    "KServe 2": (Ask("/v2/models/probe/infer", b"x"), {"body": raw("x")}),
    "KServe 2 explain": (Ask("/v2/models/probe/explain", b"x"), {"body": raw("x")}),
    "KServe 2 with a version": (Ask("/v2/models/probe/versions/1.0/infer", b"x"), {"body": raw("x")}),
}
MMS_INPUTS: dict[str, tuple[Ask, dict[str, object]]] = {
    "anything below": (Ask("/predictions/probe/9.9", b"x"), {"body": raw("x")}),
    "more below": (Ask("/predictions/probe/9.9/a", b"x"), {"body": raw("x")}),
}

OUTPUTS: dict[str, Told] = {
    "bytes": Told(200, "", KEEP, b"\x00\x01\xff"),
    "bytearray": Told(200, "", KEEP, b"\x00\x01\xff"),
    "str": Told(200, "", KEEP, "grüß".encode()),
    "dict": Told(200, "", KEEP, json.dumps({"a": 1, "b": [1, 2], "c": "ü"}, indent=2).encode()),
    "list": Told(200, "", KEEP, b"[\n  1,\n  2\n]"),
    "number": Told(200, "", KEEP, b"1.5"),
    "none": Told(200, "", KEEP, b"null"),
    "type": Told(200, "", {"content-type": "image/png", **KEEP}, b"type"),
    "header": Told(200, "", {"x-own": "yes", **KEEP}, b"header"),
    "own": Told(200, "", KEEP, b"own"),
    "status": Told(418, "teapot", CLOSE, b"status"),
    "status201": Told(201, "Made", KEEP, b"status201"),
    "nophrase": Told(404, "", CLOSE, b"nophrase"),
    "allstatus": Told(202, "All", KEEP, b"allstatus"),
}
"""What clients get for what a handler does: section 5."""

FAILURES: dict[str, tuple[int, str, dict[str, str]]] = {
    "unserializable": (
        503,
        "Unsupported model output data type.",
        {"exception": "TypeError", "text": "Object of type object is not JSON serializable"},
    ),
    "exception": (
        503,
        "Prediction failed",
        {"exception": "ValueError", "text": "something is wrong"},
    ),
    "prediction": (503, "not today", {"exception": "PredictionException", "text": "not today : 503"}),
    "prediction599": (599, "odd", {"exception": "PredictionException", "text": "odd : 599"}),
    "prediction413": (507, "too much", {"exception": "PredictionException", "text": "too much : 413"}),
    "predictiondefault": (500, "plain", {"exception": "PredictionException", "text": "plain : 500"}),
    "memory": (507, "Out of resources", {"exception": "MemoryError", "text": "no"}),
    "cuda": (507, "Out of resources", {"exception": "RuntimeError", "text": "CUDA out of memory"}),
    "nolist": (503, "Invalid model predict output", {}),
    "tuple": (503, "Invalid model predict output", {}),
    "wrongcount": (503, "number of batch response mismatched", {}),
    "forged": (500, "The handler set an illegal header: 'X-Bad'", {}),
    "illegal": (500, "The handler set an illegal header: 'X Bad'", {}),
    "big": (500, "The response of 7000000 bytes is larger than max_response_size (6553500 bytes).", {}),
}
"""The errors of section 5, with what handlers raised in additional keys."""

Refusal = tuple[int, str, str]
REFUSALS: dict[str, tuple[Ask, Refusal]] = {
    "unknown model": (Ask("/predictions/nope"), (404, "ModelNotFoundException", "Model not found: nope")),
    "no model": (Ask("/predictions"), NOT_FOUND),
    "an empty name": (Ask("/predictions/"), NOT_FOUND),
    "no route": (Ask("/nothing", method="GET"), NOT_FOUND),
    "half a route": (Ask("/models/probe"), NOT_FOUND),
    "a broken multipart": (
        Ask(body=PARTS[:60], headers=MULTIPART),
        (
            400,
            "BadRequestException",
            "The multipart body cannot be read: Unexpected end of multipart stream (parser closed)",
        ),
    ),
}
TORCHSERVE_REFUSALS: dict[str, tuple[Ask, Refusal]] = {
    "unknown version": (
        Ask("/predictions/probe/7.0"),
        (404, "ModelVersionNotFoundException", "Model version: 7.0 does not exist for model: probe"),
    ),
    "unknown version of the old route": (
        Ask("/probe/7.0/predict"),
        (404, "ModelVersionNotFoundException", "Model version: 7.0 does not exist for model: probe"),
    ),
    "no open inference protocol": (Ask("/v2", method="GET"), NOT_FOUND),
    "no workers": (
        Ask("/predictions/idle"),
        (
            503,
            "ServiceUnavailableException",
            'Model "idle" has no worker to serve inference request. Please use scale workers API to add '
            "workers. If this is a sequence inference, please check if it is closed, or expired; or exceeds "
            "maxSequenceJobQueueSize",
        ),
    ),
    "no workers of a version": (
        Ask("/predictions/idle/1.0"),
        (
            503,
            "ServiceUnavailableException",
            'Model "idle" Version 1.0" has no worker to serve inference request. Please use scale workers '
            "API to add workers. If this is a sequence inference, please check if it is closed, or expired; "
            "or exceeds maxSequenceJobQueueSize",
        ),
    ),
}
MMS_REFUSALS: dict[str, tuple[Ask, Refusal]] = {
    "explanations": (Ask("/explanations/probe"), NOT_FOUND),
    "a version in the old route": (Ask("/probe/1.0/predict"), NOT_FOUND),
    "KServe 1": (Ask("/v1/models/probe:predict"), NOT_FOUND),
    "KServe 2": (Ask("/v2/models/probe/infer"), NOT_FOUND),
    "no workers": (
        Ask("/predictions/idle"),
        (
            503,
            "ServiceUnavailableException",
            "No worker is available to serve request for model: idle. Consider increasing job queue size.",
        ),
    ),
}
BODY: dict[str, object] = {"body": {"content-type": ""}}
HEADERS: dict[str, tuple[Ask, dict[str, object]]] = {
    "prediction": (Ask.do("headers"), {**BODY, "url_path": "", "explain": "False"}),
    "path below": (
        Ask.do("headers", path="/predictions/probe/1.0/some/path"),
        {**BODY, "url_path": "some/path", "explain": "False"},
    ),
    "explanation": (
        Ask.do("headers", path="/explanations/probe/1.0/a"),
        {**BODY, "url_path": "a", "explain": "True"},
    ),
    "KServe 1": (
        Ask.do("headers", path="/v1/models/probe:explain"),
        {**BODY, "explain": "True"},
    ),
    "KServe 2": (
        Ask.do("headers", path="/v2/models/probe/infer"),
        {**BODY, "explain": "False"},
    ),
    "invoke": (Ask.do("headers", path="/models/probe/invoke"), BODY),
    "invocation": (
        Ask.do("headers", path="/invocations?q=1"),
        {"q": {"content-type": ""}, **BODY},
    ),
}
"""What the server adds to a request's headers, which the handler of TorchServe's dialect sees."""
