"""Where settings come from: the command line, the environment, a properties file or the newest snapshot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import javaproperties
from attrs import evolve, field

from modelserver.config.origins import origins_of
from modelserver.config.settings import Settings, build_settings
from modelserver.config.table import KEY, KEYS
from modelserver.config.value_types import ConfigurationError
from modelserver.dialect_rules import DIALECTS, MMS, TORCHSERVE, DialectRules
from modelserver.language.attributes import frozen
from modelserver.management.snapshots.format import newest_snapshot

SAGEMAKER = "sagemaker"
"""The name of the packaged profile for SageMaker, in the place of a file's name."""

_PROFILE = Path(__file__).with_name("sagemaker.properties")
_VARIABLE = re.compile(r"\$\$(\w+)\$\$")
_LOG4J = re.compile(r"-Dlog4j\.configurationFile=(\S+)")
_OPEN_TO_ALL = (
    "allowed_urls is not set: models may be registered from any public or private-network http(s) URL. "
    "Name the URLs that you use, for example allowed_urls=https://models\\.example\\.org/.*"
)


_OF_WORKFLOWS = ("workflow_store", "load_workflows", "workflow_strict_compat", "enable_workflow_api")
_NO_WORKFLOWS = "is ignored: there are no workflows in the dialect"


@frozen
class CommandLine:
    """
    The options of the command line; None, empty or false where an option is absent.

    :param config_file: ``--ts-config`` or ``--mms-config``: a path, or ``sagemaker``.
    :param models: ``--models``: ``[name=]location`` each, or ``all``.
    :param no_config_snapshots: neither write nor look for snapshots.
    :param properties: other keys that the command line sets, by their names.
    """

    config_file: str | None = None
    model_store: str | None = None
    workflow_store: str | None = None
    models: tuple[str, ...] = ()
    log_config: str | None = None
    cpp_log_config: str | None = None
    plugins_path: str | None = None
    enable_model_api: bool = False
    disable_token_auth: bool = False
    no_config_snapshots: bool = False
    properties: Mapping[str, str] = field(factory=dict)


def load_settings(
    options: CommandLine,
    environ: Mapping[str, str],
    cwd: Path,
    dialect: str | None = None,
    preset: Mapping[str, str] | None = None,
) -> tuple[Settings, tuple[str, ...]]:
    """
    Read all sources, a later one before an earlier one: defaults; one properties file; the command line;
    environment variables, where ``enable_envvars_config`` is true. An empty value says nothing.

    The file is the first of: ``TS_CONFIG_FILE`` (``MMS_CONFIG_FILE``), ``--ts-config`` (``--mms-config``),
    the newest snapshot in ``<LOG_LOCATION>/config`` (TorchServe's dialect, unless snapshots are off), and
    ``config.properties`` in ``cwd``.

    ``default_response_timeout`` is in seconds in both dialects, as both peers document it; MMS's program
    takes minutes.

    :param environ: the environment variables.
    :param cwd: the folder that relative paths start from.
    :param dialect: what the name of the launcher says, if it says something.
    :param preset: what holds where no source says otherwise, in the place of the defaults.
    :return: the settings, and warnings for the log.
    :raises ConfigurationError: a file cannot be read, a value is not allowed, a variable is missing.
    """
    implied = _known((dialect or (MMS.name if _config_variable(MMS) in environ else TORCHSERVE.name)).lower())
    log_folder = cwd / environ.get("LOG_LOCATION", "logs")
    file = _find_file(options, environ, cwd, implied, log_folder / "config")
    in_file = {} if file is None else read_properties(file, environ)
    commanded = _from_command_line(options)
    properties = {**in_file, **commanded}
    spoken = _known((properties.get("dialect") or implied).lower())
    found = _from_environment(properties, environ, spoken)
    properties.update(found)
    settings = evolve(
        build_settings({**(preset or {}), **properties}, spoken, cwd),
        properties=properties,
        snapshots=DIALECTS[spoken].has_snapshots and not options.no_config_snapshots,
        log_config=_log_config(options, properties, cwd),
        log_folder=log_folder,
        metrics_log_folder=cwd / environ.get("METRICS_LOCATION", "logs"),
        temporary_folder=_temporary_folder(environ),
        config_file=file,
        origins=origins_of(
            (
                ("preset of this command", preset or {}),
                (str(file), in_file),
                ("command line", commanded),
                ("environment", found),
            )
        ),
    )
    return settings, _warnings(options, properties, settings)


def _known(dialect: str) -> str:
    if dialect not in DIALECTS:
        raise ConfigurationError("dialect", dialect, KEY["dialect"].kind.allowed)
    return dialect


def _config_variable(rules: DialectRules) -> str:
    """Name the environment variable that names the configuration file."""
    return f"{rules.variable_prefix}CONFIG_FILE"


def _find_file(
    options: CommandLine, environ: Mapping[str, str], cwd: Path, dialect: str, snapshots: Path
) -> Path | None:
    rules = DIALECTS[dialect]
    variable = _config_variable(rules)
    for source, name in ((variable, environ.get(variable)), (rules.config_option, options.config_file)):
        if name == SAGEMAKER:
            return _PROFILE
        if name:
            if not (cwd / name).exists():
                raise ConfigurationError("", f"{source} file not found: {name}")
            return cwd / name
    if rules.has_snapshots and not options.no_config_snapshots:
        newest = newest_snapshot(snapshots)
        if newest is not None:
            return newest
    plain = cwd / "config.properties"
    return plain if plain.is_file() else None


def read_properties(file: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """
    Read a properties file, with its ``$$NAME$$`` replaced by environment variables.

    :raises ConfigurationError: it cannot be read, or a variable is not set.
    """
    properties = parse_properties(read_text(file))
    return {key: replace_variables(key, value, environ) for key, value in properties.items()}


def read_text(file: Path) -> str:
    """
    Read a file as UTF-8, and as Java's Latin-1 where it is not UTF-8.

    :raises ConfigurationError: it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as why:
        raise ConfigurationError("", f"{file} cannot be read: {why.strerror}") from why
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse_properties(text: str) -> dict[str, str]:
    """
    Read the text of a properties file; of a repeated key, the last one holds.

    :raises ConfigurationError: an escape is malformed.
    """
    try:
        elements = list(javaproperties.parse(text))
    except javaproperties.InvalidUEscapeError as why:
        raise ConfigurationError("", str(why)) from why
    return {
        element.key: element.value.strip()
        for element in elements
        if isinstance(element, javaproperties.KeyValue)
    }


def replace_variables(key: str, value: str, environ: Mapping[str, str]) -> str:
    """
    Replace each ``$$NAME$$`` in a value by an environment variable.

    :raises ConfigurationError: a variable is not set.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise ConfigurationError(key, value, reason=f"Invalid Environment Variable {match[1]}")
        return environ[match[1]]

    return _VARIABLE.sub(replace, value)


def _from_command_line(options: CommandLine) -> dict[str, str]:
    """Return the keys that the command line sets; its switches can only turn on."""
    given = {
        "model_store": options.model_store,
        "workflow_store": options.workflow_store,
        "load_models": ",".join(options.models),
        "cpp_log_config": options.cpp_log_config,
        "plugins_path": options.plugins_path,
        "enable_model_api": "true" if options.enable_model_api else None,
        "disable_token_authorization": "true" if options.disable_token_auth else None,
    }
    return {name: value for name, value in given.items() if value} | dict(options.properties)


def _from_environment(
    properties: Mapping[str, str], environ: Mapping[str, str], dialect: str
) -> dict[str, str]:
    everything = _is_true(properties, "enable_envvars_config")
    found = {}
    for key in KEYS:
        variable = key.variable_name(dialect)
        value = environ.get(variable, "") if variable and (everything or key.always) else ""
        if value:
            found[key.name] = value.strip()
    urls = environ.get(DIALECTS[dialect].variable_prefix + "ALLOWED_URLS")
    if urls and _is_true(properties, "use_env_allowed_urls"):
        found["allowed_urls"] = urls.strip()
    workers = {**properties, **found}.get("default_workers_per_model") or "0"
    if DIALECTS[dialect].reads_num_workers and workers == "0" and environ.get("NUM_WORKERS"):
        found["default_workers_per_model"] = environ["NUM_WORKERS"].strip()
    return found


def _is_true(properties: Mapping[str, str], name: str) -> bool:
    return properties.get(name, "").lower() == "true"


def _log_config(options: CommandLine, properties: Mapping[str, str], cwd: Path) -> Path | None:
    in_vmargs = _LOG4J.search(properties.get("vmargs", ""))
    name = options.log_config or (in_vmargs and in_vmargs[1])
    return cwd / name.removeprefix("file://") if name else None


def _temporary_folder(environ: Mapping[str, str]) -> Path | None:
    name = environ.get("TEMP")
    if not name:
        return None
    if not Path(name).is_dir():
        raise ConfigurationError("", f"Invalid temp directory: {name}")
    return Path(name)


def _warnings(options: CommandLine, properties: Mapping[str, str], settings: Settings) -> tuple[str, ...]:
    """Return one warning for each key that is unknown or has no effect."""
    told = [_warning(name, value) for name, value in properties.items()]
    if options.models and settings.model_snapshot is not None:
        told.append(
            f"--models is ignored: {settings.config_file} holds a snapshot, which is restored. "
            "With --no-config-snapshots none is restored, and none is written."
        )
    if not DIALECTS[settings.dialect].has_workflows:
        told += [
            f"{name} {_NO_WORKFLOWS} {settings.dialect}." for name in _OF_WORKFLOWS if properties.get(name)
        ]
    if not settings.allowed_urls:
        told.append(_OPEN_TO_ALL)
    return tuple(warning for warning in told if warning is not None)


def _warning(name: str, value: str) -> str | None:
    if name in KEY:
        return KEY[name].warning(value)
    return f"{name} is not a key of the configuration; it is ignored."
