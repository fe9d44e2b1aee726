"""The parameters of management calls, and the requests made of them: milliseconds become seconds here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelserver.archive.names import NAME, RULE
from modelserver.dialect_rules import MMS, TORCHSERVE
from modelserver.errors import BadRequest
from modelserver.management.call_parameters import LARGEST, MOST_WORKERS, Fields, Kind, Parameter
from modelserver.management.requests import (
    MOST_LISTED,
    Page,
    RegisterRequest,
    ScaleRequest,
    VersionOverrides,
    worker_range,
)
from modelserver.version_settings.autoscaling import AUTOSCALING
from modelserver.version_settings.placing import Resources, read_resources
from modelserver.version_settings.setting import AUTO, AUTO_WORD, Setting, SettingValues, Unit
from modelserver.version_settings.table import VERSION_SETTINGS

_TORCHSERVE = (TORCHSERVE.name,)


def name_to_serve(what: str) -> Parameter:
    """Return the parameter of a registration that names what is registered: a model or a workflow."""
    return Parameter(
        f"{what}_name",
        "text",
        f"The name to serve the {what} by; the archive's by default.",
        pattern=NAME.pattern,
        rule=RULE,
    )


def most_listed(what: str) -> Parameter:
    """Return the parameter that says how many models or workflows a page has."""
    return Parameter(
        "limit",
        "integer",
        f"The most {what} in the answer; {MOST_LISTED} if it is more, or negative.",
        default=MOST_LISTED,
        least=-LARGEST - 1,
    )


URL = Parameter(
    "url",
    "text",
    "Where the archive is: its file name in the model store, or a URL that the server is allowed to fetch.",
    required=True,
)
MODEL_NAME = name_to_serve("model")
HANDLER = Parameter("handler", "text", "The entry point of the handler; the archive's by default.")
RUNTIME = Parameter("runtime", "text", "The language of the handler; the archive's by default.")
INITIAL_WORKERS = Parameter(
    "initial_workers",
    "integer",
    "Workers to start; the server's default_workers_per_model by default, none if it is not above 0.",
    least=-LARGEST - 1,
    most=MOST_WORKERS,
)
SYNCHRONOUS_REGISTER = Parameter(
    "synchronous", "boolean", "Whether the answer waits for the workers.", default=True
)
S3_SSE_KMS = Parameter(
    "s3_sse_kms",
    "boolean",
    "Whether the archive is fetched from S3 with a signed request.",
    default=False,
    dialects=_TORCHSERVE,
)
SHA256 = Parameter(
    "sha256", "text", "What the archive's SHA-256 must be, in hexadecimal.", pattern="[0-9A-Fa-f]{64}"
)
PRELOAD_MODEL = Parameter(
    "preload_model",
    "boolean",
    "Whether the model is loaded once and workers are forked.",
    default=False,
    dialects=(MMS.name,),
)
FEWEST_WORKERS = Parameter(
    "min_worker", "integer", "The least workers, with autoscale; 1 by default.", most=MOST_WORKERS
)
MOST_WORKERS_OF_MODEL = Parameter(
    "max_worker",
    "integer",
    "The most workers, with autoscale; one for each CPU by default.",
    most=MOST_WORKERS,
)


def setting_parameter(setting: Setting) -> Parameter | None:
    """Return the parameter of a registration that gives a setting, or None."""
    if setting.parameter is None:
        return None
    kinds: Mapping[Unit, Kind] = {Unit.WORD: "text", Unit.RESOURCES: "text", Unit.FLAG: "boolean"}
    kind = kinds.get(setting.unit, "integer")
    return Parameter(
        setting.parameter.name,
        kind,
        setting.parameter.meaning,
        least=-1 if setting.parameter.can_be_unset else setting.least,
        most=LARGEST if setting.most is None else setting.most,
        choices=setting.choices,
        dialects=setting.parameter.dialects,
    )


SETTINGS = tuple((row, each) for row in VERSION_SETTINGS if (each := setting_parameter(row)) is not None)
"""The settings of a version that a registration can give, each with its parameter."""


def _is_extension(setting: Setting) -> bool:
    return setting.parameter is not None and setting.parameter.is_extension


REGISTER = (
    URL,
    MODEL_NAME,
    HANDLER,
    RUNTIME,
    *(each for row, each in SETTINGS if not _is_extension(row)),
    INITIAL_WORKERS,
    SYNCHRONOUS_REGISTER,
    S3_SSE_KMS,
    SHA256,
    *(each for row, each in SETTINGS if _is_extension(row)),
    FEWEST_WORKERS,
    MOST_WORKERS_OF_MODEL,
    PRELOAD_MODEL,
)

SCALING = tuple((row, each) for row, each in SETTINGS if row in AUTOSCALING)
"""How the server is to decide the number of workers."""
MIN_WORKER = Parameter("min_worker", "integer", "The least workers.", default=1, most=MOST_WORKERS)
MAX_WORKER = Parameter(
    "max_worker", "integer", "The most workers, not less than min_worker, its default.", most=MOST_WORKERS
)
NUMBER_GPU = Parameter(
    "number_gpu",
    "integer",
    "How many of the workers get a GPU; by default, and with -1, as the version's settings say.",
    least=-1,
)
SYNCHRONOUS_SCALE = Parameter(
    "synchronous", "boolean", "Whether the answer waits for the workers.", default=False
)
DRAIN_TIMEOUT = Parameter(
    "timeout",
    "integer",
    "Seconds that workers which leave may take to finish; 0: none, -1: as long as it takes.",
    default=-1,
    least=-1,
)
MODEL_VERSION = Parameter(
    "model_version", "text", "The version; the default one if absent.", dialects=_TORCHSERVE
)
SCALE_VERSION = (
    MIN_WORKER,
    MAX_WORKER,
    NUMBER_GPU,
    SYNCHRONOUS_SCALE,
    DRAIN_TIMEOUT,
    *(parameter for _, parameter in SCALING),
)
SCALE = (*SCALE_VERSION, MODEL_VERSION)

CUSTOMIZED = Parameter(
    "customized",
    "boolean",
    "Whether the handler is asked to describe itself.",
    default=False,
    dialects=_TORCHSERVE,
)
DESCRIBE = (CUSTOMIZED,)

LIMIT = most_listed("models")
NEXT_PAGE_TOKEN = Parameter(
    "next_page_token", "integer", "nextPageToken of the page before.", default=0, least=-LARGEST - 1
)
LIST = (LIMIT, NEXT_PAGE_TOKEN)

TOKEN_TYPE = Parameter(
    "type", "text", "Which key to renew.", choices=("management", "inference"), required=True
)


def register_request(
    fields: Fields, settings: Iterable[tuple[Setting, Parameter]] = SETTINGS
) -> RegisterRequest:
    """
    Read what a registration asks for.

    :raises ParameterMissing: there is no URL.
    :raises BadRequest: a value is out of range.
    """
    return RegisterRequest(
        url=fields.required_text(URL),
        name=fields.text(MODEL_NAME),
        overrides=_overrides(fields, settings),
        synchronous=fields.boolean(SYNCHRONOUS_REGISTER),
        signed=fields.boolean(S3_SSE_KMS),
        sha256=fields.text(SHA256),
    )


def _overrides(fields: Fields, settings: Iterable[tuple[Setting, Parameter]]) -> VersionOverrides:
    given = given_settings(fields, settings)
    bounds_fields = fields.strictly() if given.get("autoscale") else fields
    least, most = _bounds(bounds_fields, FEWEST_WORKERS, MOST_WORKERS_OF_MODEL)
    return VersionOverrides(
        handler=fields.text(HANDLER),
        runtime=fields.text(RUNTIME),
        settings=given,
        initial_workers=fields.integer(INITIAL_WORKERS),
        least=least,
        most=most,
    )


def _bounds(fields: Fields, least: Parameter, most: Parameter) -> tuple[int | None, int | None]:
    """
    Read the bounds between which the server is to decide.

    :raises BadRequest: they are in the wrong order.
    """
    minimum, maximum = fields.integer(least), fields.integer(most)
    if minimum is not None and maximum is not None and maximum < minimum:
        raise BadRequest(f"{most.name} cannot be less than {least.name}.")
    return minimum, maximum


def given_settings(fields: Fields, settings: Iterable[tuple[Setting, Parameter]]) -> SettingValues:
    """
    Read the settings of a version that a call gives, by their names.

    :raises BadRequest: a value is out of range.
    """
    given = {row.name: _setting_value(fields, row, parameter) for row, parameter in settings}
    if "preload" in given and given["preload"] is None and fields.boolean(PRELOAD_MODEL):
        given["preload"] = "model"
    return {name: value for name, value in given.items() if value is not None}


def _setting_value(fields: Fields, setting: Setting, parameter: Parameter) -> object:
    """Read a setting; None where the caller gives none, or -1 instead."""
    if setting in AUTOSCALING:
        fields = fields.strictly()
    if parameter.kind == "text":
        text = fields.text(parameter)
        return text if text is None or setting.unit is not Unit.RESOURCES else _resources(parameter, text)
    if setting.can_be_auto and fields.values.get(parameter.name) == AUTO_WORD:
        return AUTO
    if parameter.kind == "boolean":
        return fields.boolean(parameter) if parameter.name in fields.values else None
    number = _count(fields.integer(parameter))
    return None if number is None else setting.from_number(number)


def _count(number: int | None) -> int | None:
    """Return a number of things; None for -1, which says as much as no parameter."""
    return None if number is None or number < 0 else number


def _resources(parameter: Parameter, text: str) -> Resources:
    """
    Read amounts by the names of resources.

    :raises BadRequest: they cannot be read.
    """
    try:
        return read_resources(text)
    except ValueError as why:
        raise BadRequest(f"Parameter {parameter.name}: {why}.") from why


def _duration(number: int | None) -> float | None:
    """Return seconds; None for -1, which says as much as no parameter."""
    count = _count(number)
    return None if count is None else float(count)


def scale_request(name: str, version: str | None, fields: Fields) -> ScaleRequest:
    """
    Read what a change of the number of workers asks for.

    :param version: the version in the path, or None.
    :raises BadRequest: a value is out of range.
    """
    settings = given_settings(fields, SCALING)
    bounds_fields = fields.strictly() if settings.get("autoscale") else fields
    most = bounds_fields.integer(MAX_WORKER)
    minimum, maximum = worker_range(bounds_fields.integer(MIN_WORKER), most)
    return ScaleRequest(
        name=name,
        version=version if version is not None else fields.text(MODEL_VERSION),
        minimum=minimum,
        maximum=maximum,
        gpu_workers=_count(fields.integer(NUMBER_GPU)),
        synchronous=fields.boolean(SYNCHRONOUS_SCALE),
        drain=_duration(fields.integer(DRAIN_TIMEOUT)),
        has_maximum=most is not None,
        settings=settings,
    )


def page_request(fields: Fields) -> Page:
    """Read which part of the list of models is wanted."""
    return Page.of(fields.integer(LIMIT), fields.integer(NEXT_PAGE_TOKEN))
