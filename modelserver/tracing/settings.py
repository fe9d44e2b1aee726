"""What OpenTelemetry's variables and ``config.properties`` say about traces, as one value."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.tracing.outbound import OutboundLimits
from modelserver.tracing.sampling import BY_RATIO, DEFAULT, SAMPLERS

PREFIX = "OTEL_"
ENDPOINT, TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOLS = "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
HTTP = "http/protobuf"
EXPORTER = "OTEL_TRACES_EXPORTER"
TIMEOUTS = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"
"""The first that is there says how long sending may take: milliseconds, by OpenTelemetry's specification."""
EXPORT_TIMEOUT, SHORT = 10_000, 100
"""The default of it, and what is so short that seconds were meant: the library for Python reads seconds."""
OTLP, CONSOLE, NONE = "otlp", "console", "none"
"""What becomes of spans: they are sent, they are lines of the log, or there are none."""


@frozen
class TracingSettings:
    """
    Whether and how traces are made.

    :param is_logged: a line of the log is written for each request, and no span is sent.
    :param ratio: of the traces, for samplers that have one.
    :param endpoint: the URL that spans are sent to; None: as the variables say.
    :param export_timeout: seconds that sending a batch of spans may take, further tries included.
    :param resource: what tells this service from others.
    :param warnings: what the variables say and is not so here.
    """

    is_on: bool = False
    is_logged: bool = False
    sampler: str = DEFAULT
    ratio: float = 1.0
    endpoint: str | None = None
    export_timeout: float = EXPORT_TIMEOUT / 1000
    resource: Mapping[str, str] = field(factory=dict)
    limits: OutboundLimits = field(factory=OutboundLimits)
    warnings: tuple[str, ...] = ()


def read_settings(
    is_wanted: bool | None, keys: Mapping[str, str], environ: Mapping[str, str]
) -> TracingSettings:
    """
    Read them; a variable goes before the key of the same name.

    :param is_wanted: the key ``tracing``; None: traces are made where an endpoint is named.
    :param keys: the keys that have a variable's name, by that name.
    :param environ: the environment variables.
    """
    given = {**keys, **{name: text for name, text in environ.items() if name.startswith(PREFIX) and text}}
    is_off = given.get("OTEL_SDK_DISABLED", "").lower() == "true"
    exporter = given.get(EXPORTER, OTLP).lower()
    if is_wanted is None:
        is_wanted = exporter == CONSOLE or ENDPOINT in given or TRACES_ENDPOINT in given
    if is_off or exporter == NONE or not is_wanted:
        return TracingSettings()
    warnings: list[str] = []
    if exporter not in (OTLP, CONSOLE):
        warnings.append(f"{EXPORTER}={exporter} is not known here: it is {OTLP}.")
    sampler, ratio = _sampler(given, warnings)
    for name in PROTOCOLS:
        if given.get(name, HTTP) != HTTP:
            warnings.append(f"{name}={given[name]} is not known here: spans are sent by {HTTP}.")
    return TracingSettings(
        is_on=True,
        is_logged=exporter == CONSOLE,
        sampler=sampler,
        ratio=ratio,
        endpoint=_endpoint(keys, environ),
        export_timeout=_export_timeout(given, warnings),
        resource=_resource(keys, environ),
        limits=_limits(given, warnings),
        warnings=tuple(warnings),
    )


def _sampler(given: Mapping[str, str], warnings: list[str]) -> tuple[str, float]:
    name = given.get("OTEL_TRACES_SAMPLER", DEFAULT).lower()
    if name not in SAMPLERS:
        warnings.append(f"OTEL_TRACES_SAMPLER={name} is not known here: it is {DEFAULT}.")
        name = DEFAULT
    if not name.endswith(BY_RATIO):
        return name, 1.0
    text = given.get("OTEL_TRACES_SAMPLER_ARG", "")
    ratio = _number(text)
    if ratio is None or not 0 <= ratio <= 1:
        warnings.append(f"OTEL_TRACES_SAMPLER_ARG={text} is no number from 0 to 1: it is 1.")
        ratio = 1.0
    return name, ratio


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _endpoint(keys: Mapping[str, str], environ: Mapping[str, str]) -> str | None:
    """Return the URL for spans where a key names the collector, and no variable does."""
    base = keys.get(ENDPOINT)
    if not base or environ.get(ENDPOINT) or environ.get(TRACES_ENDPOINT):
        return None
    return base.rstrip("/") + "/v1/traces"


def _resource(keys: Mapping[str, str], environ: Mapping[str, str]) -> Mapping[str, str]:
    """
    Return the attributes of the service that the variables do not name.

    The library reads the variables itself, and what it is given here goes before them.
    """
    pairs = [pair.partition("=") for pair in keys.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")]
    named = [
        pair.partition("=")[0].strip() for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    ]
    found = {name.strip(): value.strip() for name, _, value in pairs if name.strip()}
    name = keys.get("OTEL_SERVICE_NAME") or found.get("service.name") or "modelserver"
    if not environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = name
    else:
        found.pop("service.name", None)
    return {name: value for name, value in found.items() if name not in named}


def _export_timeout(given: Mapping[str, str], warnings: list[str]) -> float:
    name = next((name for name in TIMEOUTS if name in given), None)
    if name is None:
        return EXPORT_TIMEOUT / 1000
    milliseconds = _whole(given, name, EXPORT_TIMEOUT, warnings)
    if milliseconds < SHORT:
        warnings.append(f"{name}={milliseconds} are milliseconds, though some libraries read seconds.")
    return milliseconds / 1000


def _limits(given: Mapping[str, str], warnings: list[str]) -> OutboundLimits:
    usual = OutboundLimits()
    size = _whole(given, "OTEL_BSP_MAX_QUEUE_SIZE", usual.size, warnings)
    batch = _whole(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.batch, warnings)
    delay = _whole(given, "OTEL_BSP_SCHEDULE_DELAY", int(usual.delay * 1000), warnings)
    return OutboundLimits(size, min(batch, size), delay / 1000)


def _whole(given: Mapping[str, str], name: str, usual: int, warnings: list[str]) -> int:
    text = given.get(name)
    if text is None:
        return usual
    if not text.isdecimal() or len(text) > 9 or not int(text):
        warnings.append(f"{name}={text} is no whole number above 0: it is {usual}.")
        return usual
    return int(text)
