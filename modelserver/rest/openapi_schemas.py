"""The schemas of bodies and headers in the OpenAPI documents."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.dialect_rules import MMS, TORCHSERVE

Schema = dict[str, object]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_OPEN_OBJECT: Schema = {"type": "object"}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_FAILURE = _object(
    {"type": _TEXT, "text": _TEXT, "stderr": _array(_TEXT), "at": {"type": "string", "format": "date-time"}},
    {
        "exitCode": {"type": "integer"},
        "signal": _TEXT,
        "outOfMemory": _FLAG,
        "traceback": _array(_TEXT),
    },
)
_WORKER: Mapping[str, Schema] = {
    "id": _TEXT,
    "startTime": {"type": "string", "format": "date-time"},
    "status": {"type": "string", "enum": ["READY", "LOADING", "UNLOADING"]},
    "gpu": _FLAG,
    "memoryUsage": {**_COUNT, "description": "Resident bytes of the worker's processes."},
}
_APART: Mapping[str, Schema] = {
    "memoryPrivate": {**_COUNT, "description": "Bytes that no other process has."},
    "memoryShared": {**_COUNT, "description": "Bytes that other processes have, too."},
    "gpuMemory": {
        **_COUNT,
        "description": "Bytes of its GPU that its process has, as the driver tells, or else torch.",
    },
    "gpuMemoryAllocated": {**_COUNT, "description": "Bytes of GPUs that tensors of its torch have."},
    "gpuMemoryReserved": {**_COUNT, "description": "Bytes of GPUs that its torch has taken from the driver."},
    "gpuMemoryPeak": {**_COUNT, "description": "The most bytes of GPUs that tensors of its torch have had."},
    "gpuMemoryOther": {**_COUNT, "description": "Bytes that the driver tells beside those of its torch."},
    "threads": {"type": "integer", "minimum": 1, "description": "Threads of computation (OMP_NUM_THREADS)."},
}
_PLACE = _object(
    {"reason": {**_TEXT, "description": "Why it is there; or what was asked, and what is free."}},
    {"node": _TEXT, "address": _TEXT, "placementGroup": _TEXT, "suspect": _FLAG},
)
_WORKER_HISTORY: Mapping[str, Schema] = {
    **_APART,
    "placement": _PLACE,
    "restarts": _COUNT,
    "lastFailure": _FAILURE,
}
_VERSION: Mapping[str, Schema] = {
    "modelName": _TEXT,
    "modelVersion": _TEXT,
    "runtime": _TEXT,
    "minWorkers": _COUNT,
    "maxWorkers": _COUNT,
    "batchSize": _COUNT,
    "maxBatchDelay": {**_COUNT, "description": "Milliseconds; the present ones where batchDelay is auto."},
    "loadedAtStartup": _FLAG,
}
_SCALING: Mapping[str, Schema] = {
    "autoscaling": _object(
        {
            "targetQueueTime": {**_COUNT, "description": "Milliseconds."},
            "idleTimeout": {"type": "number", "description": "Seconds."},
            "scaleDownDelay": {"type": "number", "description": "Seconds."},
            "keepTemplate": _FLAG,
            "loadTimeout": {"type": "number", "description": "Seconds."},
        }
    ),
    "wantedWorkers": _COUNT,
    "lastDecision": _object(
        {
            "workers": _COUNT,
            "reason": _TEXT,
            "text": _TEXT,
            "at": {"type": "string", "format": "date-time"},
        }
    ),
}
_TEMPLATE = _object({"pid": {"type": "integer"}, "status": _TEXT, "memoryUsage": _COUNT}, _APART)
_LOAD_STATE: Schema = {
    "type": "string",
    "enum": ["known", "unloaded", "loading", "loaded"],
    "description": "Where a model is that is loaded by requests; absent for one that stays.",
}
_BYTES: dict[str, Schema] = {
    "expected": {**_COUNT, "description": "Bytes that one more worker takes."},
    "expectedFrom": {"type": "string", "enum": ["measurement", "archive size"]},
    "reserved": {**_COUNT, "description": "Bytes that are set aside for all workers."},
    "limit": {**_COUNT, "description": "Bytes that all workers may take (model_memory_limit)."},
}
_MEMORY = _object(_BYTES)
_GPU_LIMIT: Schema = {**_COUNT, "description": "Bytes that all workers may take of it (gpu_memory_limit)."}
_GPU_MEMORY = _array(_object({"gpu": _COUNT, **_BYTES, "limit": _GPU_LIMIT}))

_TORCHSERVE_WORKER = _object({**_WORKER, "pid": {"type": "integer"}, "gpuUsage": _TEXT}, _WORKER_HISTORY)
_TORCHSERVE_VERSION = _object(
    {
        **_VERSION,
        "responseTimeout": {"type": "number", "description": "Seconds."},
        "startupTimeout": {"type": "number", "description": "Seconds."},
        "maxRetryTimeoutInSec": {"type": "number"},
        "clientTimeoutInMills": _COUNT,
        "parallelType": {"type": "string", "enum": ["", "pp", "tp", "pptp", "custom"]},
        "parallelLevel": _COUNT,
        "deviceType": _TEXT,
        "continuousBatching": _FLAG,
        "useJobTicket": _FLAG,
        "useVenv": _FLAG,
        "stateful": _FLAG,
        "sequenceMaxIdleMSec": _COUNT,
        "sequenceTimeoutMSec": _COUNT,
        "maxNumSequence": _COUNT,
        "maxSequenceJobQueueSize": _COUNT,
        "workers": _array(_TORCHSERVE_WORKER),
        "jobQueueStatus": _object({"remainingCapacity": _COUNT, "pendingRequests": _COUNT}),
    },
    {
        "modelUrl": {"type": "string", "description": "Absent for a function of a workflow."},
        "engine": _TEXT,
        "batchDelay": _TEXT,
        "deviceIds": _array(_COUNT),
        "template": _TEMPLATE,
        **_SCALING,
        "loadState": _LOAD_STATE,
        "memory": _MEMORY,
        "memoryByGpu": _GPU_MEMORY,
        "customizedMetadata": _OPEN_OBJECT,
    },
)
_MMS_VERSION = _object(
    {**_VERSION, "modelUrl": _TEXT, "workers": _array(_object(_WORKER, _WORKER_HISTORY))},
    {
        "engine": _TEXT,
        "batchDelay": _TEXT,
        "template": _TEMPLATE,
        **_SCALING,
        "loadState": _LOAD_STATE,
        "memory": _MEMORY,
        "memoryByGpu": _GPU_MEMORY,
    },
)

_NUMBER: Schema = {"type": "number"}
_CHOICE = _object(
    {
        "batch_size": _COUNT,
        "max_batch_delay": {"allOf": [{}], "description": "Milliseconds, or auto."},
        "workers": _COUNT,
    },
    {"requestsPerSecond": _NUMBER, "p99Milliseconds": {**_NUMBER, "nullable": True}},
)
_ADVICE = _object(
    {
        "modelName": _TEXT,
        "modelVersion": _TEXT,
        "verdict": {"type": "string", "enum": ["change", "no change", "not enough data"]},
        "reason": _TEXT,
        "seen": _object({"requests": _COUNT, "callers": _NUMBER, "handlerMilliseconds": _OPEN_OBJECT}),
        "current": _CHOICE,
        "notes": _array(_TEXT),
    },
    {
        "recommended": _CHOICE,
        "gain": {**_NUMBER, "nullable": True, "description": "0.5: half as many requests more a second."},
        "confidence": {"type": "string", "enum": ["high", "medium", "low"]},
    },
)

_SHARED: Mapping[str, Schema] = {
    "Advice": _ADVICE,
    "Error": _object(
        {
            "code": {"type": "integer"},
            "type": {"type": "string", "description": "The kind of error, by the peers' names."},
            "message": _TEXT,
        }
    ),
    "Status": _object({"status": _TEXT}),
    "ModelList": _object(
        {"models": _array(_object({"modelName": _TEXT, "modelUrl": _TEXT}, {"loadState": _LOAD_STATE}))},
        {"nextPageToken": {"type": "string", "description": "Absent on the last page."}},
    ),
    "Ready": _object({"name": _TEXT, "ready": _FLAG}),
    "OpenApi": _object({"openapi": _TEXT, "info": _OPEN_OBJECT, "paths": _OPEN_OBJECT}),
    "Object": _OPEN_OBJECT,
}

_REPOSITORY = _array(
    _object(
        {
            "name": _TEXT,
            "state": {"type": "string", "enum": ["READY", "LOADING", "UNAVAILABLE"]},
            "reason": _TEXT,
        },
        {"version": {"type": "string", "description": "Absent where the model is not registered."}},
    )
)
_WORKFLOW_NODE = _object(
    {
        "name": _TEXT,
        "modelName": _TEXT,
        "retryAttempts": _COUNT,
        "timeoutMs": _COUNT,
    },
    {
        "modelVersion": {"type": "string", "description": "Absent: the default one."},
        "url": _TEXT,
        "function": _TEXT,
        "items": {"type": "string", "enum": ["split", "join"]},
        "when": _OPEN_OBJECT,
    },
)
_WORKFLOWS: Mapping[str, Schema] = {
    "WorkflowList": _object(
        {"workflows": _array(_object({"workflowName": _TEXT, "workflowUrl": _TEXT}))},
        {"nextPageToken": {"type": "string", "description": "Absent on the last page."}},
    ),
    "WorkflowDescription": _array(
        _object(
            {
                "workflowName": _TEXT,
                "workflowUrl": _TEXT,
                "minWorkers": _COUNT,
                "maxWorkers": _COUNT,
                "batchSize": _COUNT,
                "maxBatchDelay": {**_COUNT, "description": "Milliseconds."},
                "workflowDag": _TEXT,
                "nodes": _array(_WORKFLOW_NODE),
            },
            {"workflowVersion": _TEXT, "defaultVersion": _FLAG},
        )
    ),
}

SCHEMAS: Mapping[str, Mapping[str, Schema]] = {
    TORCHSERVE.name: {
        **_SHARED,
        **_WORKFLOWS,
        "RepositoryIndex": _REPOSITORY,
        "Description": _array(_TORCHSERVE_VERSION),
    },
    MMS.name: {**_SHARED, "Description": _MMS_VERSION},
}
"""The schemas of JSON bodies, by dialect and name."""

PLAIN = {"Metrics": "text/plain", "Nothing": "text/plain"}
"""The names of bodies that are text, and their media types."""

HEADERS: Mapping[str, Schema] = {
    "RequestId": {
        "description": "A new id for each request.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Allow": {"description": "The methods that the route has.", "required": True, "schema": _TEXT},
    "RetryAfter": {"description": "Seconds after which to try again.", "schema": {"type": "integer"}},
    "Warning": {
        "description": "Names a parameter that could not be read, so that its default was used.",
        "schema": _TEXT,
    },
}
"""The headers of answers, by component name."""
