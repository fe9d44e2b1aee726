"""The curl lines of TorchServe's documents about management, with the answers of TorchServe."""

from __future__ import annotations

from collections.abc import Mapping

from tests.harness.document_lines import IN_PROGRESS, MODELS, SQUEEZENET, Line, refused, said, worker_row


def _torchserve_version(version: str, url: str, workers: int, **more: object) -> dict[str, object]:
    worker = worker_row(pid="...", gpuUsage="N/A")
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


_FIRST, _SECOND = (
    _torchserve_version("1.0", "noop.mar", 3),
    _torchserve_version("2.0", "noop_v2.mar", 3),
)


def without_workers(name: str, version: str = "1.0") -> Mapping[str, str]:
    return said(
        f'Model "{name}" Version: {version} registered with 0 initial workers. '
        "Use scale workers API to add workers for the model."
    )


TORCHSERVE = (
    # Register.
    Line(f'-X POST {MODELS}?url={SQUEEZENET}"', 200, without_workers("squeezenet1_1")),
    Line(f'-X DELETE {MODELS}/squeezenet1_1"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(
        f'-v -X POST {MODELS}?initial_workers=1&synchronous=false&url={SQUEEZENET}"',
        202,
        IN_PROGRESS,
        ready=("squeezenet1_1", 1),
    ),
    Line(f'-X DELETE {MODELS}/squeezenet1_1/1.0"', 200, said('Model "squeezenet1_1" unregistered')),
    Line(
        f'-v -X POST {MODELS}?initial_workers=1&url={SQUEEZENET}"',
        200,
        said('Model "squeezenet1_1" Version: 1.0 registered with 1 initial workers'),
    ),
    Line(f'-X POST {MODELS}?url=noop.mar"', 200, without_workers("noop")),
    Line(f'-X POST {MODELS}?url=noop_v2.mar"', 200, without_workers("noop", "2.0")),
    Line(
        f'-X POST {MODELS}?url=noop-customized.mar&initial_workers=1"',
        200,
        said('Model "noop-customized" Version: 1.0 registered with 1 initial workers'),
    ),
    # Scale workers.
    Line(f'-v -X PUT {MODELS}/noop?min_worker=3"', 202, IN_PROGRESS, ready=("noop", 3)),
    Line(
        f'-v -X PUT {MODELS}/noop?min_worker=3&synchronous=true"',
        200,
        said("Workers scaled to 3 for model: noop"),
    ),
    Line(
        f'-v -X PUT {MODELS}/noop/2.0?min_worker=3&synchronous=true"',
        200,
        said("Workers scaled to 3 for model: noop, version: 2.0"),
    ),
    # Describe.
    Line(f'{MODELS}/noop"', 200, [_FIRST]),
    Line(f'{MODELS}/noop/2.0"', 200, [_SECOND]),
    Line(f'{MODELS}/noop/all"', 200, [_FIRST, _SECOND]),
    Line(
        f'{MODELS}/noop-customized/1.0?customized=true"',
        200,
        [
            _torchserve_version("1.0", "noop-customized.mar", 1)
            | {"modelName": "noop-customized", "customizedMetadata": {"data1": "1", "data2": "2"}}
        ],
    ),
    # Set the default version.
    Line(
        f'-v -X PUT {MODELS}/noop/2.0/set-default"',
        200,
        said('Default version successfully updated for model "noop" to "2.0"'),
    ),
    Line(f'{MODELS}/noop"', 200, [_SECOND]),
    # Unregister.
    Line(f'-X DELETE {MODELS}/noop/1.0"', 200, said('Model "noop" unregistered')),
    # List.
    Line(
        f'{MODELS}"',
        200,
        {
            "models": [
                {"modelName": "noop", "modelUrl": "noop_v2.mar"},
                {"modelName": "noop-customized", "modelUrl": "noop-customized.mar"},
                {"modelName": "squeezenet1_1", "modelUrl": SQUEEZENET},
            ]
        },
    ),
    Line(
        f'{MODELS}?limit=2&next_page_token=2"',
        200,
        {"models": [{"modelName": "squeezenet1_1", "modelUrl": SQUEEZENET}]},
    ),
    Line(
        f'{MODELS}?limit=2"',
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
        f'-X POST {MODELS}?url={{archives}}/noop.mar"',
        400,
        refused(400, "DownloadArchiveException", "Failed to download archive from: {archives}/noop.mar"),
    ),
    Line(f'-X POST {MODELS}?url={{archives}}/noop.mar&s3_sse_kms=true"', 200, without_workers("noop")),
    Line(f'-X DELETE {MODELS}/noop"', 200, said('Model "noop" unregistered')),
)

TORCHSERVE_MISTAKES = (
    Line(f'-X POST {MODELS}"', 400, refused(400, "BadRequestException", "Parameter url is required.")),
    Line(f'-X POST {MODELS}?url="', 404, refused(404, "ModelNotFoundException", "empty url")),
    Line(
        f'-X POST {MODELS}?url=../noop.mar"',
        404,
        refused(404, "ModelNotFoundException", "Relative path is not allowed in url: ../noop.mar"),
    ),
    Line(
        f'-X POST {MODELS}?url=no.mar"',
        404,
        refused(404, "ModelNotFoundException", "Model not found at: no.mar"),
    ),
    Line(
        f'-X POST {MODELS}?url={{archives}}/no.mar"',
        400,
        refused(400, "DownloadArchiveException", "Failed to download archive from: {archives}/no.mar"),
    ),
    Line(
        f'-X POST {MODELS}?url=http://localhost:aaaa/no.mar"',
        400,
        refused(
            400,
            "DownloadArchiveException",
            "Failed to download archive from: http://localhost:aaaa/no.mar",
        ),
    ),
    Line(
        f'-X POST {MODELS}?url=noop_v2.mar"',
        409,
        refused(409, "ConflictStatusException", "Model version 2.0 is already registered for model noop"),
    ),
    Line(
        f'-X POST {MODELS}?url={SQUEEZENET}"',
        409,
        refused(
            409,
            "ConflictStatusException",
            "Model version 1.0 is already registered for model squeezenet1_1",
        ),
        differs="The same URL again is 500 there, for its file exists.",
    ),
    Line(
        f'-X POST {MODELS}?url=noop.mar&runtime=cobol"',
        400,
        refused(400, "BadRequestException", "Invalid RuntimeType value: cobol"),
    ),
    Line(
        f'-X POST {MODELS}?url=broken.mar&initial_workers=1"',
        500,
        refused(500, "InternalServerException", "Failed to start workers for model broken version: 1.0"),
    ),
    Line(
        f'-X PUT {MODELS}/noop?min_worker=3&max_worker=1"',
        400,
        refused(400, "BadRequestException", "max_worker cannot be less than min_worker."),
    ),
    Line(f'-X PUT {MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(
        f'-X PUT {MODELS}/noop/9"',
        404,
        refused(404, "ModelVersionNotFoundException", "Model version: 9 does not exist for model: noop"),
    ),
    Line(
        f'-X PUT {MODELS}/noop?min_worker=-1"',
        400,
        {"code": 400, "type": "BadRequestException"},
        differs="A number below 0 ends every worker there, and is answered 500.",
    ),
    Line(f'{MODELS}/absent"', 404, refused(404, "ModelNotFoundException", "Model not found: absent")),
    Line(
        f'{MODELS}/noop/9"',
        404,
        refused(404, "ModelVersionNotFoundException", "Model version: 9 does not exist for model: noop"),
    ),
    Line(
        f'-X PUT {MODELS}/absent/1.0/set-default"',
        404,
        refused(404, "ModelNotFoundException", "Model not found: absent"),
    ),
    Line(
        f'-X PUT {MODELS}/noop/9/set-default"',
        404,
        refused(404, "ModelVersionNotFoundException", "Model version 9 does not exist for model noop"),
    ),
    Line(f'-X POST {MODELS}?url=noop.mar"', 200, without_workers("noop")),
    Line(
        f'-X DELETE {MODELS}/noop"',
        403,
        refused(403, "InvalidModelVersionException", "Cannot remove default version for model noop"),
    ),
    Line(
        f'{MODELS}/noop/1.0?customized=true"',
        503,
        refused(
            503,
            "ServiceUnavailableException",
            'Model "noop" has no worker to serve describe request. '
            "Please use scale workers API to add workers.",
        ),
    ),
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
        f'-X PUT {MODELS}"',
        405,
        refused(
            405,
            "MethodNotAllowedException",
            "Requested method is not allowed, please refer to API document.",
        ),
    ),
    Line(
        f'{MODELS}?limit=3"',
        200,
        {"models": [{"modelName": "noop"}, {"modelName": "noop-customized"}, {"modelName": "squeezenet1_1"}]},
        differs="A page that ends with the last model has a token there, to an empty page.",
    ),
    Line(f'{MODELS}?limit=abc&next_page_token=9"', 200, {"models": []}),
)
