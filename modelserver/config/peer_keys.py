"""The keys of TorchServe's and of Multi Model Server's ``config.properties`` that are implemented."""

from __future__ import annotations

from pathlib import Path

from modelserver.config.keys import ConfigurationKey
from modelserver.config.value_types import (
    LOAD_LIST,
    PATH,
    PATTERN,
    PATTERNS,
    PEER_BOOLEAN,
    TEXT,
    Kind,
    address,
    choice,
    duration,
    size,
    whole,
)
from modelserver.management.models_json import read_models
from modelserver.management.snapshots.format import parse_snapshot

_BOTH, _TS, _MMS = ("TS", "MMS"), ("TS",), ("MMS",)
_SECONDS, _POSITIVE_SECONDS = duration(), duration(positive=True)
_MODELS = Kind("JSON", "a JSON object: model, version, values", lambda text, cwd: read_models(text))
_SNAPSHOT = Kind("JSON", "a snapshot's JSON object", lambda text, cwd: parse_snapshot(text))
_ENVELOPES = choice("body", "json", "kserve", "kservev2")
_FILE_ONLY = ""


def _metrics_mode(text: str, cwd: Path) -> str:
    mode = "".join(text.split()).lower()
    if mode not in ("log", "prometheus", "legacy"):
        raise ValueError
    return mode


def _protocol(text: str, cwd: Path) -> bool:
    word = text.lower()
    if word not in ("true", "oip", "false"):
        raise ValueError
    return word != "false"


def _key(
    name: str,
    kind: Kind,
    default: str | None,
    meaning: str,
    peers: tuple[str, ...] = _TS,
    variable: str | None = None,
    setting: str | None = None,
    mms_default: str | None = None,
    always: bool = False,
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        peers=peers,
        status="implemented",
        variable=variable,
        setting=name if setting is None else setting,
        mms_default=mms_default,
        always=always,
    )


LISTENERS = (
    _key(
        "inference_address", address(80, 443), "http://127.0.0.1:8080", "Where predictions are served.", _BOTH
    ),
    _key(
        "management_address",
        address(8081, 8444),
        "http://127.0.0.1:8081",
        "Where models are managed; equal to inference_address: one shared listener.",
        _BOTH,
    ),
    _key("metrics_address", address(8082, 8445), "http://127.0.0.1:8082", "Where metrics are read."),
    _key("max_request_size", size(positive=True), "6553500", "The largest request body, in bytes.", _BOTH),
    _key("max_response_size", size(positive=True), "6553500", "The largest response body, in bytes.", _BOTH),
    _key("cors_allowed_origin", TEXT, None, "Access-Control-Allow-Origin of every answer.", _BOTH),
    _key("cors_allowed_methods", TEXT, None, "Access-Control-Allow-Methods of every answer.", _BOTH),
    _key("cors_allowed_headers", TEXT, None, "Access-Control-Allow-Headers of every answer.", _BOTH),
    _key(
        "keystore",
        PATH,
        None,
        "A key store with the TLS key and certificate; its first key entry is used.",
        _BOTH,
    ),
    _key("keystore_pass", TEXT, "changeit", "The key store's password.", _BOTH),
    _key("keystore_type", TEXT, "PKCS12", "The key store's format.", _BOTH),
    _key("private_key_file", PATH, None, "The TLS key, PEM.", _BOTH),
    _key("certificate_file", PATH, None, "The TLS certificate with its chain, PEM.", _BOTH),
    _key(
        "ts_open_inference_protocol",
        Kind("word", "true, oip or false", _protocol),
        "false",
        "Serve the Open Inference Protocol on /v2.",
        variable="TS_OPEN_INFERENCE_PROTOCOL",
        setting="open_inference_protocol",
        always=True,
    ),
    _key("disable_token_authorization", PEER_BOOLEAN, "false", "Serve without tokens.", mms_default="true"),
    _key(
        "token_expiration_min",
        duration(60.0, positive=True),
        "60",
        "How long a token is good for, in minutes.",
        variable="TS_TOKEN_EXPIRATION_TIME_MIN",
        setting="token_expiration",
    ),
    _key("enable_model_api", PEER_BOOLEAN, "false", "Allow register and unregister.", mms_default="true"),
)

MODELS = (
    _key("model_store", PATH, None, "The folder that model archives are looked up in.", _BOTH),
    _key("load_models", LOAD_LIST, None, "The models to load at the start.", _BOTH),
    _key("workflow_store", PATH, None, "The folder of workflow archives; unset: that of models."),
    _key("models", _MODELS, None, "Values for versions of models, JSON.", variable=_FILE_ONLY),
    _key(
        "model_snapshot",
        _SNAPSHOT,
        None,
        "The models to restore, JSON; load_models is ignored then.",
        variable=_FILE_ONLY,
    ),
    _key(
        "allowed_urls",
        PATTERNS,
        None,
        "Which URLs may be registered; full matches, in any case. Its variable needs use_env_allowed_urls.",
        variable=_FILE_ONLY,
    ),
    _key(
        "use_env_allowed_urls",
        PEER_BOOLEAN,
        "false",
        "Take allowed_urls from the environment.",
        variable=_FILE_ONLY,
        setting="",
    ),
    _key("install_py_dep_per_model", PEER_BOOLEAN, "false", "Install an archive's requirements."),
    _key("service_envelope", _ENVELOPES, None, "The envelope around every handler."),
    _key("default_service_handler", TEXT, None, "The handler where a manifest names none.", _BOTH),
)

WORKERS = (
    _key(
        "default_workers_per_model",
        whole(0),
        "0",
        "Workers of each version; 0 at the start: one for each GPU, else for each CPU.",
        _BOTH,
    ),
    _key(
        "default_response_timeout_seconds",
        whole(-1),
        "-1",
        "Above 0: goes before default_response_timeout.",
        _MMS,
        setting="",
    ),
    _key(
        "unregister_model_timeout",
        _SECONDS,
        "120",
        "How long an unregistered version may drain, in seconds.",
        _BOTH,
    ),
    _key("number_of_gpu", whole(0), None, "The GPUs to use; no more than there are.", _BOTH),
    _key(
        "limit_max_image_pixels", PEER_BOOLEAN, "true", "Keep Pillow's limit of pixels in built-in handlers."
    ),
    _key("decode_input_request", PEER_BOOLEAN, "true", "Hand JSON and text to handlers decoded.", _BOTH),
    _key("blacklist_env_vars", PATTERN, None, "Names of environment variables to hide from workers.", _BOTH),
    _key(
        "preload_model",
        PEER_BOOLEAN,
        "false",
        "Load each model once and fork its workers, which share what it holds.",
        _MMS,
    ),
    _key("initial_worker_port", whole(0), "9000", "The first worker's id."),
    _key("initial_distribution_port", whole(0), "29500", "The first id of workers with a parallelLevel."),
    _key(
        "ts_header_key_sequence_id",
        TEXT,
        "ts_request_sequence_id",
        "The header with a sequence's id.",
        variable="TS_HEADER_KEY_SEQUENCE_ID",
        setting="sequence_id_header",
    ),
    _key(
        "ts_header_key_sequence_start",
        TEXT,
        "ts_request_sequence_start",
        "The header of a sequence's first job.",
        variable="TS_HEADER_KEY_SEQUENCE_START",
        setting="sequence_start_header",
    ),
    _key(
        "ts_header_key_sequence_end",
        TEXT,
        "ts_request_sequence_end",
        "The header of a sequence's last job.",
        variable="TS_HEADER_KEY_SEQUENCE_END",
        setting="sequence_end_header",
    ),
)

METRICS = (
    _key("enable_metrics_api", PEER_BOOLEAN, "true", "Open the metrics listener.", mms_default="false"),
    _key(
        "metrics_mode", Kind("word", "log, prometheus or legacy", _metrics_mode), "log", "Where metrics go."
    ),
    _key("metrics_config", PATH, None, "The metrics to have, YAML; unset: the packaged file."),
    _key("model_metrics_auto_detect", PEER_BOOLEAN, "false", "Keep handlers' metrics that are not declared."),
    _key("disable_system_metrics", PEER_BOOLEAN, "false", "Do not sample the host."),
    _key(
        "system_metrics_cmd",
        TEXT,
        "",
        "A Python script with its arguments that samples the host, instead of the server.",
        variable=_FILE_ONLY,
    ),
    _key(
        "metric_time_interval",
        _POSITIVE_SECONDS,
        "60",
        "Seconds between two samples of the host.",
        _BOTH,
        variable=_FILE_ONLY,
    ),
)

SOURCES = (
    _key(
        "enable_envvars_config",
        PEER_BOOLEAN,
        "false",
        "Let environment variables set keys.",
        _BOTH,
        variable=_FILE_ONLY,
        setting="",
    ),
)

PEER_KEYS = (*LISTENERS, *MODELS, *WORKERS, *METRICS, *SOURCES)
"""Every key of the peers that is implemented."""
