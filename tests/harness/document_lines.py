"""
The curl lines of the peers' own documents about management, with the answers of the peers' programs.

``{management}`` stands for the address of the API, ``{archives}`` for a web server or a bucket with archives.
Values that change from run to run are ``...``, see ``masked``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

_CHANGING = frozenset({"id", "startTime", "pid", "memoryUsage", "runtime"})


@frozen
class Line:
    """
    One call.

    :param words: behind ``curl``.
    :param status: what it has to answer.
    :param body: the JSON, ``masked``; what is not in it is not compared.
    :param differs: why the peer answers something else, where that is meant to be.
    :param ready: wait afterwards until so many workers of this model are ready.
    """

    words: str
    status: int
    body: object
    differs: str = ""
    ready: tuple[str, int] | None = None


def said(text: str) -> Mapping[str, str]:
    """The answer of a call that did something."""
    return {"status": text}


def refused(code: int, kind: str, message: str) -> Mapping[str, object]:
    """The answer of a call that did not."""
    return {"code": code, "type": kind, "message": message}


def masked(body: Any) -> Any:
    """A body without what changes: process ids, times, memory, and the order of versions."""
    if isinstance(body, list):
        return sorted(map(masked, body), key=_version)
    if not isinstance(body, dict):
        return body
    if "openapi" in body:
        return {"openapi": body["openapi"], "info": {"title": body["info"]["title"]}}
    return {name: "..." if name in _CHANGING else masked(value) for name, value in body.items()}


def _version(row: Any) -> str:
    return str(row.get("modelVersion", "")) if isinstance(row, dict) else ""


def missing(expected: Any, found: Any, where: str = "") -> Sequence[str]:
    """What of ``expected`` is not in ``found``; additional keys are no difference."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            text
            for name, value in expected.items()
            for text in (
                missing(value, found[name], f"{where}/{name}")
                if name in found
                else [f"{where}/{name}: absent"]
            )
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [text for at, (one, other) in pairs for text in missing(one, other, f"{where}/{at}")]
    return [] if expected == found else [f"{where}: {found!r} instead of {expected!r}"]


def _worker(**more: object) -> dict[str, object]:
    return {"id": "...", "startTime": "...", "status": "READY", "gpu": False, "memoryUsage": "...", **more}


def _torchserve_version(version: str, url: str, workers: int, **more: object) -> dict[str, object]:
    worker = _worker(pid="...", gpuUsage="N/A")
    return {
        "modelName": "noop",
        "modelVersion": version,
        "modelUrl": url,
        "runtime": "...",
        "minWorkers": workers,
        "maxWorkers": workers,
        "batchSize": 1,
        "maxBatchDelay": 100,
        "responseTimeout": 120,
        "startupTimeout": 120,
        "maxRetryTimeoutInSec": 300,
        "clientTimeoutInMills": 0,
        "parallelType": "",
        "parallelLevel": 0,
        "deviceType": "cpu",
        "continuousBatching": False,
        "useJobTicket": False,
        "useVenv": False,
        "stateful": False,
        "sequenceMaxIdleMSec": 0,
        "sequenceTimeoutMSec": 0,
        "maxNumSequence": 0,
        "maxSequenceJobQueueSize": 0,
        "loadedAtStartup": False,
        "workers": [worker] * workers,
        "jobQueueStatus": {"remainingCapacity": 100, "pendingRequests": 0},
        **more,
    }


_IN_PROGRESS = said("Processing worker updates...")
_SQUEEZENET = "{archives}/squeezenet1_1.mar"
_MODELS = '"{management}/models'
_FIRST, _SECOND = (
    _torchserve_version("1.0", "noop.mar", 3),
    _torchserve_version("2.0", "noop_v2.mar", 3),
)


def _without_workers(name: str, version: str = "1.0") -> Mapping[str, str]:
    return said(
        f'Model "{name}" Version: {version} registered with 0 initial workers. '
        "Use scale workers API to add workers for the model."
    )


TORCHSERVE = (
    # Register.
    Line(f'-X POST {_MODELS}?url={_SQUEEZENET}"', 200, _without_workers("squeezenet1_1")),
    Line(f'-X DELETE {_MODELS}/squeezenet1_1"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(
        f'-v -X POST {_MODELS}?initial_workers=1&synchronous=false&url={_SQUEEZENET}"',
        202,
        _IN_PROGRESS,
        ready=("squeezenet1_1", 1),
    ),
    Line(f'-X DELETE {_MODELS}/squeezenet1_1/1.0"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(
        f'-v -X POST {_MODELS}?initial_workers=1&url={_SQUEEZENET}"',
        200,
        said('Model "squeezenet1_1" Version: 1.0 registered with 1 initial workers'),
    ),
    Line(f'-X POST {_MODELS}?url=noop.mar"', 200, _without_workers("noop")),
    Line(f'-X POST {_MODELS}?url=noop_v2.mar"', 200, _without_workers("noop", "2.0")),
    Line(
        f'-X POST {_MODELS}?url=noop-customized.mar&initial_workers=1"',
        200,
        said('Model "noop-customized" Version: 1.0 registered with 1 initial workers'),
    ),
    # Scale workers.
    Line(f'-v -X PUT {_MODELS}/noop?min_worker=3"', 202, _IN_PROGRESS, ready=("noop", 3)),
    Line(
        f'-v -X PUT {_MODELS}/noop?min_worker=3&synchronous=true"',
        200,
        said("Workers scaled to 3 for model: noop"),
    ),
    Line(
        f'-v -X PUT {_MODELS}/noop/2.0?min_worker=3&synchronous=true"',
        200,
        said("Workers scaled to 3 for model: noop, version: 2.0"),
    ),
    # Describe.
    Line(f'{_MODELS}/noop"', 200, [_FIRST]),
    Line(f'{_MODELS}/noop/2.0"', 200, [_SECOND]),
    Line(f'{_MODELS}/noop/all"', 200, [_FIRST, _SECOND]),
    Line(
        f'{_MODELS}/noop-customized/1.0?customized=true"',
        200,
        [
            _torchserve_version("1.0", "noop-customized.mar", 1)
            | {"modelName": "noop-customized", "customizedMetadata": {"data1": "1", "data2": "2"}}
        ],
    ),
    # Set the default version.
    Line(
        f'-v -X PUT {_MODELS}/noop/2.0/set-default"',
        200,
        said('Default version successfully updated for model "noop" to "2.0"'),
    ),
    Line(f'{_MODELS}/noop"', 200, [_SECOND]),
    # Unregister.
    Line(f'-X DELETE {_MODELS}/noop/1.0"', 200, said('Model "noop" unregistered')),
    # List.
    Line(
        f'{_MODELS}"',
        200,
        {
            "models": [
                {"modelName": "noop", "modelUrl": "noop_v2.mar"},
                {"modelName": "noop-customized", "modelUrl": "noop-customized.mar"},
                {"modelName": "squeezenet1_1", "modelUrl": _SQUEEZENET},
            ]
        },
    ),
    Line(
        f'{_MODELS}?limit=2&next_page_token=2"',
        200,
        {"models": [{"modelName": "squeezenet1_1", "modelUrl": _SQUEEZENET}]},
    ),
    Line(
        f'{_MODELS}?limit=2"',
        200,
        {
            "nextPageToken": "2",
            "models": [
                {"modelName": "noop", "modelUrl": "noop_v2.mar"},
                {"modelName": "noop-customized", "modelUrl": "noop-customized.mar"},
            ],
        },
    ),
    # KServe's question, and the description of the API.
    Line('"{management}/v1/models/noop"', 200, {"name": "noop", "ready": True}),
    Line('-X OPTIONS "{management}"', 200, {"openapi": "3.0.1", "info": {"title": "TorchServe APIs"}}),
)

S3 = (
    Line(
        f'-X POST {_MODELS}?url={{archives}}/noop.mar"',
        400,
        refused(400, "DownloadArchiveException", "Failed to download archive from: {archives}/noop.mar"),
    ),
    Line(f'-X POST {_MODELS}?url={{archives}}/noop.mar&s3_sse_kms=true"', 200, _without_workers("noop")),
    Line(f'-X DELETE {_MODELS}/noop"', 200, said('Model "noop" unregistered')),
)

TORCHSERVE_MISTAKES = (
    Line(f'-X POST {_MODELS}"', 400, refused(400, "BadRequestException", "Parameter url is required.")),
    Line(f'-X POST {_MODELS}?url="', 404, refused(404, "ModelNotFoundException", "empty url")),
    Line(
        f'-X POST {_MODELS}?url=../noop.mar"',
        404,
        refused(404, "ModelNotFoundException", "Relative path is not allowed in url: ../noop.mar"),
    ),
    Line(
        f'-X POST {_MODELS}?url=no.mar"',
        404,
        refused(404, "ModelNotFoundException", "Model not found at: no.mar"),
    ),
    Line(
        f'-X POST {_MODELS}?url={{archives}}/no.mar"',
        400,
        refused(400, "DownloadArchiveException", "Failed to download archive from: {archives}/no.mar"),
    ),
    Line(
        f'-X POST {_MODELS}?url=http://localhost:aaaa/no.mar"',
        400,
        refused(
            400,
            "DownloadArchiveException",
            "Failed to download archive from: http://localhost:aaaa/no.mar",
        ),
    ),
    Line(
        f'-X POST {_MODELS}?url=noop_v2.mar"',
        409,
        refused(409, "ConflictStatusException", "Model version 2.0 is already registered for model noop"),
    ),
    Line(
        f'-X POST {_MODELS}?url={_SQUEEZENET}"',
        409,
        refused(
            409,
            "ConflictStatusException",
            "Model version 1.0 is already registered for model squeezenet1_1",
        ),
        differs="The same URL again is 500 there, for its file exists.",
    ),
    Line(
        f'-X POST {_MODELS}?url=noop.mar&runtime=cobol"',
        400,
        refused(400, "BadRequestException", "Invalid RuntimeType value: cobol"),
    ),
    Line(
        f'-X POST {_MODELS}?url=broken.mar&initial_workers=1"',
        500,
        refused(500, "InternalServerException", "Failed to start workers for model broken version: 1.0"),
    ),
    Line(
        f'-X PUT {_MODELS}/noop?min_worker=3&max_worker=1"',
        400,
        refused(400, "BadRequestException", "max_worker cannot be less than min_worker."),
    ),
    Line(f'-X PUT {_MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(
        f'-X PUT {_MODELS}/noop/9"',
        404,
        refused(404, "ModelVersionNotFoundException", "Model version: 9 does not exist for model: noop"),
    ),
    Line(
        f'-X PUT {_MODELS}/noop?min_worker=-1"',
        400,
        {"code": 400, "type": "BadRequestException"},
        differs="A number below 0 ends every worker there, and is answered 500.",
    ),
    Line(f'{_MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(
        f'{_MODELS}/noop/9"',
        404,
        refused(404, "ModelVersionNotFoundException", "Model version: 9 does not exist for model: noop"),
    ),
    Line(
        f'-X PUT {_MODELS}/absent/1.0/set-default"',
        404,
        refused(404, "ModelNotFoundException", "Model not found: absent"),
    ),
    Line(
        f'-X PUT {_MODELS}/noop/9/set-default"',
        404,
        refused(404, "ModelVersionNotFoundException", "Model version 9 does not exist for model noop"),
    ),
    Line(f'-X POST {_MODELS}?url=noop.mar"', 200, _without_workers("noop")),
    Line(
        f'-X DELETE {_MODELS}/noop"',
        403,
        refused(403, "InvalidModelVersionException", "Cannot remove default version for model noop"),
    ),
    Line(
        f'{_MODELS}/noop/1.0?customized=true"',
        503,
        refused(
            503,
            "ServiceUnavailableException",
            'Model "noop" has no worker to serve describe request. '
            "Please use scale workers API to add workers.",
        ),
    ),
    Line(
        f'-X DELETE {_MODELS}/absent"',
        404,
        refused(404, "ModelNotFoundException", "Model not found: absent"),
    ),
    Line(
        '"{management}/nothing"',
        404,
        refused(
            404,
            "ResourceNotFoundException",
            "Requested resource is not found, please refer to API document.",
        ),
    ),
    Line(
        f'-X PUT {_MODELS}"',
        405,
        refused(
            405,
            "MethodNotAllowedException",
            "Requested method is not allowed, please refer to API document.",
        ),
    ),
    Line(
        f'{_MODELS}?limit=3"',
        200,
        {"models": [{"modelName": "noop"}, {"modelName": "noop-customized"}, {"modelName": "squeezenet1_1"}]},
        differs="A page that ends with the last model has a token there, to an empty page.",
    ),
    Line(f'{_MODELS}?limit=abc&next_page_token=9"', 200, {"models": []}),
)

_MMS_NOOP = {
    "modelName": "noop",
    "modelVersion": "1.0",
    "modelUrl": "noop.mar",
    "runtime": "...",
    "minWorkers": 3,
    "maxWorkers": 3,
    "batchSize": 1,
    "maxBatchDelay": 100,
    "loadedAtStartup": False,
    "workers": [_worker()] * 3,
}

MMS = (
    Line(f'-X POST {_MODELS}?url={_SQUEEZENET}"', 200, said('Model "squeezenet1_1" registered')),
    Line(f'-X DELETE {_MODELS}/squeezenet1_1"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(
        f'-v -X POST {_MODELS}?initial_workers=1&synchronous=false&url={_SQUEEZENET}"',
        202,
        _IN_PROGRESS,
        ready=("squeezenet1_1", 1),
    ),
    Line(f'-X DELETE {_MODELS}/squeezenet1_1"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(f'-v -X POST {_MODELS}?initial_workers=1&url={_SQUEEZENET}"', 200, said("Workers scaled")),
    Line(f'-X POST {_MODELS}?url=noop.mar"', 200, said('Model "noop" registered')),
    Line(f'-v -X PUT {_MODELS}/noop?min_worker=3"', 202, _IN_PROGRESS, ready=("noop", 3)),
    Line(f'-v -X PUT {_MODELS}/noop?min_worker=3&synchronous=true"', 200, said("Workers scaled")),
    Line(f'{_MODELS}/noop"', 200, _MMS_NOOP),
    Line(
        f'{_MODELS}"',
        200,
        {
            "models": [
                {"modelName": "noop", "modelUrl": "noop.mar"},
                {"modelName": "squeezenet1_1", "modelUrl": _SQUEEZENET},
            ]
        },
    ),
    Line(f'{_MODELS}?limit=2&next_page_token=2"', 200, {"models": []}),
    Line(
        f'{_MODELS}?limit=1"',
        200,
        {"nextPageToken": "1", "models": [{"modelName": "noop", "modelUrl": "noop.mar"}]},
    ),
    Line('-X OPTIONS "{management}"', 200, {"openapi": "3.0.1", "info": {"title": "Model Server APIs"}}),
)

MMS_MISTAKES = (
    Line(f'-X POST {_MODELS}"', 400, refused(400, "BadRequestException", "Parameter url is required.")),
    Line(
        f'-X POST {_MODELS}?url=../noop.mar"',
        404,
        refused(404, "ModelNotFoundException", "Relative path is not allowed in url: ../noop.mar"),
    ),
    Line(
        f'-X POST {_MODELS}?url=no.mar"',
        404,
        refused(404, "ModelNotFoundException", "Model not found in model store: no.mar"),
    ),
    Line(
        f'-X POST {_MODELS}?url={{archives}}/no.mar"',
        400,
        refused(400, "DownloadModelException", "Failed to download model from: {archives}/no.mar, code: 404"),
    ),
    Line(
        f'-X POST {_MODELS}?url=http://localhost:aaaa/no.mar"',
        404,
        refused(404, "ModelNotFoundException", "Invalid model url: http://localhost:aaaa/no.mar"),
    ),
    Line(
        f'-X POST {_MODELS}?url=noop.mar"',
        409,
        refused(409, "ConflictStatusException", "Model noop is already registered."),
    ),
    Line(
        f'-X POST {_MODELS}?url=noop.mar&runtime=cobol"',
        400,
        refused(400, "BadRequestException", "Invalid RuntimeType value: cobol"),
    ),
    Line(
        f'-X POST {_MODELS}?url=broken.mar&initial_workers=1"',
        500,
        refused(500, "InternalServerException", "Failed to start workers"),
    ),
    Line(
        f'-X PUT {_MODELS}/noop?min_worker=3&max_worker=1"',
        400,
        refused(400, "BadRequestException", "max_worker cannot be less than min_worker."),
    ),
    Line(f'-X PUT {_MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(f'{_MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(
        f'-X DELETE {_MODELS}/absent"',
        404,
        refused(404, "ModelNotFoundException", "Model not found: absent"),
    ),
    Line(
        '"{management}/nothing"',
        404,
        refused(
            404,
            "ResourceNotFoundException",
            "Requested resource is not found, please refer to API document.",
        ),
    ),
    Line(
        f'-X OPTIONS {_MODELS}/noop"',
        405,
        refused(
            405,
            "MethodNotAllowedException",
            "Requested method is not allowed, please refer to API document.",
        ),
    ),
    Line(f'-X DELETE {_MODELS}/noop"', 200, said('Model "noop" unregistered')),
)
