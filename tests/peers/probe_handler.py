"""A handler that does what a request's header ``x-do`` says; it runs unchanged in every server under test."""

import json
import os

try:
    from ts.utils.util import PredictionException
except ImportError:
    from mms.service import PredictionException


def shown(value):
    if isinstance(value, (bytes, bytearray)):
        return [type(value).__name__, bytes(value).decode("latin-1")]
    return [type(value).__name__, value]


def context_shown(context):
    properties = dict(context.system_properties)
    model_dir, version = properties.pop("model_dir"), properties.pop("server_version")
    properties.pop("peer_version", None)
    return {
        "name": context.model_name,
        "properties": properties,
        "folder": os.path.isdir(model_dir) and os.path.samefile(model_dir, os.getcwd()),
        "version": type(version).__name__,
        "manifest": context.manifest["model"]["modelName"],
        "yaml": getattr(context, "model_yaml_config", None),
    }


def raised(what):
    return {
        "exception": ValueError("something is wrong"),
        "memory": MemoryError("no"),
        "cuda": RuntimeError("CUDA out of memory"),
        "prediction": PredictionException("not today", 503),
        "prediction599": PredictionException("odd", 599),
        "prediction413": PredictionException("too much", 413),
        "predictiondefault": PredictionException("plain"),
    }.get(what)


RESULTS = {
    "bytes": b"\x00\x01\xff",
    "bytearray": bytearray(b"\x00\x01\xff"),
    "str": "gr\u00fc\u00df",
    "dict": {"a": 1, "b": [1, 2], "c": "\u00fc"},
    "list": [1, 2],
    "number": 1.5,
    "none": None,
    "big": b"x" * 7000000,
}
HEADERS = {
    "header": {"X-Own": "yes"},
    "forged": {"X-Bad": "a\r\nX-Forged: 1"},
    "illegal": {"X Bad": "a"},
    "own": dict.fromkeys(("x-request-id", "Pragma", "Content-Length", "Connection", "Cache-Control"), "evil"),
    "cors": {"Access-Control-Allow-Origin": "https://handler.example"},
}
STATUSES = {
    "status": (418, "teapot"),
    "status201": (201, "Made"),
    "status204": (204, "Nothing"),
    "nophrase": (404, ""),
}


def one(row, context, place):
    what = asked(context, place)
    error = raised(what)
    if error is not None:
        raise error
    if what in RESULTS:
        return RESULTS[what]
    if what in HEADERS:
        for name, value in HEADERS[what].items():
            context.set_response_header(place, name, value)
        return what
    if what in STATUSES:
        context.set_response_status(*STATUSES[what], place)
        return what
    return told(what, row, context, place)


def told(what, row, context, place):
    if what == "type":
        context.set_response_content_type(place, "image/png")
    if what == "allstatus":
        context.set_all_response_status(202, "All")
    if what == "exit":
        os._exit(3)
    if what == "unserializable":
        return object()
    if what == "tensor":
        import torch

        return torch.arange(3)
    if what == "headers":
        return context.get_all_request_header(place)
    if what == "insensitive":
        return context.get_request_header(place, "x-mixedcase") or "None"
    if what == "id":
        return context.get_request_id(place)
    if what == "context":
        return context_shown(context)
    if what == "every":
        return [shown(value) for value in context.get_all_values(place, "d")]
    if what == "show":
        return json.dumps({name: shown(value) for name, value in row.items()}, sort_keys=True)
    return what


def asked(context, place):
    return context.get_request_header(place, "X-Do") or "show"


def handle(data, context):
    if data is None:
        return None
    wanted = [asked(context, place) for place in range(len(data))]
    if "wrongcount" in wanted:
        return ["a"] * (len(data) + 1)
    if "nolist" in wanted:
        return "no list"
    if "tuple" in wanted:
        return ("a",) * len(data)
    return [one(row, context, place) for place, row in enumerate(data)]
