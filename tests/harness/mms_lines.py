"""The curl lines of Multi Model Server's documents about management, with its answers."""

from __future__ import annotations

from tests.harness.document_lines import IN_PROGRESS, MODELS, SQUEEZENET, Line, refused, said, worker_row

_NOOP = {
    "modelName": "noop",
    "modelVersion": "1.0",
    "modelUrl": "noop.mar",
    "runtime": "...",
    "minWorkers": 3,
    "maxWorkers": 3,
    "batchSize": 1,
    "maxBatchDelay": 100,
    "loadedAtStartup": False,
    "workers": [worker_row()] * 3,
}

MMS = (
    Line(f'-X POST {MODELS}?url={SQUEEZENET}"', 200, said('Model "squeezenet1_1" registered')),
    Line(f'-X DELETE {MODELS}/squeezenet1_1"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(
        f'-v -X POST {MODELS}?initial_workers=1&synchronous=false&url={SQUEEZENET}"',
        202,
        IN_PROGRESS,
        ready=("squeezenet1_1", 1),
    ),
    Line(f'-X DELETE {MODELS}/squeezenet1_1"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(f'-v -X POST {MODELS}?initial_workers=1&url={SQUEEZENET}"', 200, said("Workers scaled")),
    Line(f'-X POST {MODELS}?url=noop.mar"', 200, said('Model "noop" registered')),
    Line(f'-v -X PUT {MODELS}/noop?min_worker=3"', 202, IN_PROGRESS, ready=("noop", 3)),
    Line(f'-v -X PUT {MODELS}/noop?min_worker=3&synchronous=true"', 200, said("Workers scaled")),
    Line(f'{MODELS}/noop"', 200, _NOOP),
    Line(
        f'{MODELS}"',
        200,
        {
            "models": [
                {"modelName": "noop", "modelUrl": "noop.mar"},
                {"modelName": "squeezenet1_1", "modelUrl": SQUEEZENET},
            ]
        },
    ),
    Line(f'{MODELS}?limit=2&next_page_token=2"', 200, {"models": []}),
    Line(
        f'{MODELS}?limit=1"',
        200,
        {"nextPageToken": "1", "models": [{"modelName": "noop", "modelUrl": "noop.mar"}]},
    ),
    Line('-X OPTIONS "{management}"', 200, {"openapi": "3.0.1", "info": {"title": "Model Server APIs"}}),
)

MMS_MISTAKES = (
    Line(f'-X POST {MODELS}"', 400, refused(400, "BadRequestException", "Parameter url is required.")),
    Line(
        f'-X POST {MODELS}?url=../noop.mar"',
        404,
        refused(404, "ModelNotFoundException", "Relative path is not allowed in url: ../noop.mar"),
    ),
    Line(
        f'-X POST {MODELS}?url=no.mar"',
        404,
        refused(404, "ModelNotFoundException", "Model not found in model store: no.mar"),
    ),
    Line(
        f'-X POST {MODELS}?url={{archives}}/no.mar"',
        400,
        refused(400, "DownloadModelException", "Failed to download model from: {archives}/no.mar, code: 404"),
    ),
    Line(
        f'-X POST {MODELS}?url=http://localhost:aaaa/no.mar"',
        404,
        refused(404, "ModelNotFoundException", "Invalid model url: http://localhost:aaaa/no.mar"),
    ),
    Line(
        f'-X POST {MODELS}?url=noop.mar"',
        409,
        refused(409, "ConflictStatusException", "Model noop is already registered."),
    ),
    Line(
        f'-X POST {MODELS}?url=noop.mar&runtime=cobol"',
        400,
        refused(400, "BadRequestException", "Invalid RuntimeType value: cobol"),
    ),
    Line(
        f'-X POST {MODELS}?url=broken.mar&initial_workers=1"',
        500,
        refused(500, "InternalServerException", "Failed to start workers"),
    ),
    Line(
        f'-X PUT {MODELS}/noop?min_worker=3&max_worker=1"',
        400,
        refused(400, "BadRequestException", "max_worker cannot be less than min_worker."),
    ),
    Line(f'-X PUT {MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(f'{MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(
        f'-X DELETE {MODELS}/absent"',
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
        f'-X OPTIONS {MODELS}/noop"',
        405,
        refused(
            405,
            "MethodNotAllowedException",
            "Requested method is not allowed, please refer to API document.",
        ),
    ),
    Line(f'-X DELETE {MODELS}/noop"', 200, said('Model "noop" unregistered')),
)
