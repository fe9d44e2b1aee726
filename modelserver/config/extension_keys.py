"""The keys that neither TorchServe nor Multi Model Server knows."""

from __future__ import annotations

from pathlib import Path
from string import Formatter

from modelserver.config.cluster_keys import CLUSTER_KEYS
from modelserver.config.keys import ConfigurationKey
from modelserver.config.value_types import (
    BOOLEAN,
    HOSTS,
    LOAD_LIST,
    MEMORY,
    PATH,
    TEXT,
    Kind,
    choice,
    duration,
    size,
    whole,
)
from modelserver.dialect_rules import DIALECTS
from modelserver.logs.layouts import ACCESS_FIELDS

_SECONDS, _POSITIVE_SECONDS = duration(), duration(positive=True)


def _overload_status(text: str, cwd: Path) -> int:
    if text not in ("503", "429"):
        raise ValueError
    return int(text)


def _access_format(text: str, cwd: Path) -> str:
    for _, name, form, conversion in Formatter().parse(text):
        if name is not None and (name not in ACCESS_FIELDS or form or conversion):
            raise ValueError(f"{{{name}}} is none of these")
    return text


def _key(name: str, kind: Kind, default: str | None, meaning: str, always: bool = False) -> ConfigurationKey:
    return ConfigurationKey(
        name=name, kind=kind, default=default, meaning=meaning, status="ours", setting=name, always=always
    )


API = (
    _key("dialect", choice(*DIALECTS), None, "Whose words are spoken; unset: the launcher's."),
    _key(
        "strict_parameters",
        BOOLEAN,
        "false",
        "Refuse query parameters that cannot be read, instead of defaults.",
    ),
    _key(
        "expose_errors",
        BOOLEAN,
        None,
        "Tell clients the handler's exception and why workers end; unset: management calls do, predictions "
        "only while tokens are off.",
    ),
    _key(
        "overload_status",
        Kind("code", "503 or 429", _overload_status),
        "503",
        "The status of a refusal for overload.",
    ),
    _key(
        "workflow_strict_compat",
        BOOLEAN,
        "false",
        "Answer workflows as TorchServe does: with 200 and application/json whatever the last handler set.",
    ),
    _key(
        "allowed_hosts",
        HOSTS,
        None,
        "While tokens are off: the names, beside addresses and localhost, under which calls may change this "
        "server, and the hosts whose web pages may.",
        always=True,
    ),
    _key(
        "enable_dashboard",
        BOOLEAN,
        None,
        "Serve the dashboard, a page for people, on the management listener; unset: where that is on "
        "loopback, or tokens are asked for.",
        always=True,
    ),
    _key(
        "enable_workflow_api",
        BOOLEAN,
        "true",
        "Allow register and unregister of workflows, with the models of their nodes; as in TorchServe, "
        "enable_model_api does not matter to them.",
    ),
    _key(
        "repository_at_inference",
        BOOLEAN,
        "false",
        "Serve /v2/repository at the inference address, too, where KServe's agent calls it; it asks for the "
        "management token, and to load and unload for enable_model_api.",
    ),
    _key("token_file", PATH, None, "A file with tokens that stay as they are.", always=True),
    _key(
        "grpc_map_status",
        BOOLEAN,
        "false",
        "Over gRPC, end a call with the code of a handler's own status (set_response_status); false: with OK "
        "and the body, as TorchServe does.",
    ),
)

WORKERS = (
    _key("worker_python", PATH, None, "The interpreter of workers; unset: the server's."),
    _key(
        "max_workers_per_model",
        whole(1, 1024),
        None,
        "Workers that a call, or an archive's own minWorkers, may ask for; unset: 128, or two for each "
        "processor where that is more.",
    ),
    _key("startup_parallelism", whole(1), "4", "Models that load at the same time at the start."),
    _key(
        "load",
        choice("at_start", "on_request"),
        "at_start",
        "When the models of the start are loaded; on_request: each when the first request for it comes.",
    ),
    _key(
        "model_memory_limit",
        MEMORY,
        None,
        "Memory that all workers together may take, in bytes or as a share of the control group's or the "
        "machine's; unset: 80% with load=on_request, else no limit.",
    ),
    _key(
        "gpu_memory_limit",
        MEMORY,
        None,
        "Memory of each GPU that all workers together may take, in bytes or as a share of what it has; "
        "unset: no limit.",
    ),
    _key(
        "memory_shortage",
        choice("refuse", "wait"),
        "refuse",
        "What becomes of a request whose model has no room under model_memory_limit or gpu_memory_limit: it "
        "is refused with 507, or waits within its own time.",
    ),
    _key(
        "max_log_line",
        size(positive=True),
        "128K",
        "Bytes of a line of a worker's output that are logged; the rest of the line is dropped.",
    ),
    _key(
        "max_log_lines",
        whole(1),
        "10000",
        "Lines that a worker's standard output, or its standard error, may log in a second.",
    ),
    _key("max_log_bytes", size(positive=True), "8M", "The same in bytes; what is more is dropped."),
)

LIFE = (
    _key(
        "drain_lag", _SECONDS, "0", "Seconds between failing readiness and closing the listeners at a stop."
    ),
    _key("drain_timeout", _SECONDS, "30", "Seconds that requests have to finish at a stop."),
    _key("snapshots_kept", whole(1), "100", "Snapshots that stay on disk; older ones are removed."),
    _key("log_format", choice("text", "json"), "text", "The shape of log lines."),
    _key(
        "access_log_format",
        Kind("format", f"text with {{{'}, {'.join(ACCESS_FIELDS)}}} in it", _access_format),
        None,
        "What a text line of the access log tells of a request; unset: what the peers' lines do.",
    ),
)

CONNECTIONS = (
    _key(
        "tls_security_level",
        whole(0, 5),
        None,
        "OpenSSL's security level for TLS: 1 takes keys of 1024 bits, 0 any; unset: OpenSSL's own, or 1 "
        "with a warning where the certificate needs it.",
    ),
    _key("header_timeout", _POSITIVE_SECONDS, "10", "Seconds for a request's head to arrive."),
    _key(
        "grpc_max_connection_idle",
        _POSITIVE_SECONDS,
        None,
        "Seconds that a gRPC connection may rest without a call, before its client is asked to connect anew "
        "for the next one; unset: as long as the client likes.",
    ),
    _key("idle_timeout", _POSITIVE_SECONDS, "75", "Seconds that a connection may rest between requests."),
    _key(
        "body_timeout",
        _POSITIVE_SECONDS,
        "3600",
        "Seconds for a request's body to arrive while all of request_memory is free; in proportion less as "
        "it fills, at least header_timeout.",
    ),
    _key(
        "write_timeout",
        _POSITIVE_SECONDS,
        "60",
        "Seconds that a client may take its answer with less than minimum_body_rate.",
    ),
    _key(
        "minimum_body_rate",
        size(),
        "500",
        "Bytes a second that a body must arrive with, and an answer be taken with; 0: any rate.",
    ),
    _key(
        "max_connections",
        whole(0),
        "10000",
        "Connections at a time; 0: as many as descriptors allow. One more is told so with 503, "
        "or asks once for what is no prediction.",
    ),
    _key(
        "max_connections_per_address",
        whole(0),
        "0",
        "Connections at a time from one address; 0: no limit. One more as above.",
    ),
    _key(
        "request_memory",
        size(),
        "1G",
        "Bytes that the bodies of requests may take together, from their arrival until they are answered; "
        "0: no limit.",
    ),
    _key(
        "response_memory",
        size(),
        "1G",
        "Bytes of answers that clients may leave unread together; over it, the connection that was not read "
        "from for longest is cut off. 0: no limit.",
    ),
)

ARCHIVES = (
    _key(
        "load_workflows",
        LOAD_LIST,
        None,
        "The workflows to load at the start; ALL: every .war of the workflow store.",
    ),
    _key("download_timeout", _POSITIVE_SECONDS, "600", "Seconds that a download may take."),
    _key("max_download_size", size(positive=True), "10G", "The largest archive that is downloaded."),
    _key("max_unpacked_size", size(positive=True), "20G", "The most bytes that one archive may unpack to."),
    _key("max_archive_entries", whole(1), "100000", "The most files in one archive."),
    _key("allow_external_handlers", BOOLEAN, "false", "Allow handlers outside of their archive."),
    _key(
        "allow_requirements_options",
        BOOLEAN,
        "false",
        "Allow every option of pip in requirements, not only those for indexes and for files of the archive.",
    ),
    _key("requirements_cache", PATH, None, "Where installed requirements are kept; unset: until the end."),
    _key("requirements_timeout", _POSITIVE_SECONDS, "600", "Seconds that installing requirements may take."),
)

TRACES = (
    _key(
        "tracing",
        BOOLEAN,
        None,
        "Trace requests (OpenTelemetry); unset: where otel_exporter_otlp_endpoint or its variable is set.",
        always=True,
    ),
    _key(
        "otel_exporter_otlp_endpoint",
        TEXT,
        None,
        "The collector that spans are sent to, by OTLP over HTTP; this and the next ones are what the "
        "variables of their names (OTEL_...) say, which go before them.",
    ),
    _key("otel_service_name", TEXT, None, "This service's name in traces; unset: modelserver."),
    _key("otel_resource_attributes", TEXT, None, "What else tells it from others: name=value,..."),
    _key("otel_traces_sampler", TEXT, None, "Which requests are traced; unset: parentbased_always_on."),
    _key("otel_traces_sampler_arg", TEXT, None, "The share of requests, for samplers that have one."),
    _key("otel_bsp_max_queue_size", TEXT, None, "Spans that wait to be sent at most; unset: 8192."),
)

EXTENSION_KEYS = (*API, *WORKERS, *CLUSTER_KEYS, *LIFE, *CONNECTIONS, *ARCHIVES, *TRACES)
"""Every key that only this server has."""
