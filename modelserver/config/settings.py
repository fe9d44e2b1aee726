"""The configuration as one frozen value, from which the server is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, fields

from modelserver.archive.manifest import RULES, ManifestRules
from modelserver.archive.unpack import UnpackLimits
from modelserver.config.address import Address
from modelserver.config.grpc_keys import OFF
from modelserver.config.model_list import LoadList
from modelserver.config.origins import Origin
from modelserver.config.table import KEY, KEYS
from modelserver.config.value_types import ConfigurationError
from modelserver.config.version_keys import VERSION_KEYS
from modelserver.dialect_rules import TORCHSERVE
from modelserver.language.attributes import frozen
from modelserver.management.models_json import VersionPreset
from modelserver.management.snapshots.format import Snapshot
from modelserver.management.version_spec import MOST_WORKERS, VersionDefaults
from modelserver.spec import WorkerSettings
from modelserver.system.memory_total import MemoryAmount
from modelserver.version_settings.setting import SettingValues
from modelserver.version_settings.table import default_of

ON_REQUEST_SHARE = 0.8
"""The share of the memory that workers may take where models come on request and nobody says more."""


def read_value(name: str, text: str, cwd: Path) -> object:
    """
    Read the value of a key.

    :param cwd: what relative paths start from.
    :raises ConfigurationError: the key does not allow the text.
    """
    kind = KEY[name].kind
    try:
        return kind.read(text, cwd)
    except (ValueError, OverflowError, RecursionError) as why:
        # float() has its own words for what it cannot read; what is allowed says it better.
        reason = "" if str(why).startswith("could not convert") else str(why)
        raise ConfigurationError(name, text, kind.allowed, reason) from why


def _default(name: str) -> Any:  # the type is the field's own; a test compares the two
    default = KEY[name].default
    return None if default is None else read_value(name, default, Path())


@frozen
class Settings:
    """
    All settings. What a field means is in the table of keys, by its own name where nothing is said here.

    Durations are seconds, sizes bytes, paths absolute.

    :param token_expiration: ``token_expiration_min``, as seconds.
    :param open_inference_protocol: ``ts_open_inference_protocol``.
    :param grpc_inference_max_connection_age: with its three siblings, ``grpc_..._ms``, as seconds; None: any
        time.
    :param sequence_id_header: with its two siblings, ``ts_header_key_sequence_...``.
    :param load_models: nothing where a snapshot is restored.
    :param load_workflows: nothing where a snapshot is restored that knows workflows.
    :param version_settings: the settings of versions that were given, by their names in the table of
        ``modelserver/version_settings/table.py``.
    :param allowed_urls: patterns; empty where the server's own rule holds.
    :param number_of_gpu: as configured, or None; what there is, limits it.
    :param snapshots: whether snapshots are written and looked for.
    :param log_config: a log configuration file of the peer's kind, or None.
    :param log_folder: where logs and the folder of snapshots are.
    :param temporary_folder: where archives are unpacked, or None for the system's.
    :param config_file: the file that was read, or None.
    :param properties: every key that was set, as text, for snapshots.
    :param origins: each value that is no default, and what has set it, for people.
    """

    inference_address: Address = field(default=_default("inference_address"))
    management_address: Address = field(default=_default("management_address"))
    metrics_address: Address = field(default=_default("metrics_address"))
    max_request_size: int = _default("max_request_size")
    max_response_size: int = _default("max_response_size")
    cors_allowed_origin: str | None = None
    cors_allowed_methods: str | None = None
    cors_allowed_headers: str | None = None
    keystore: Path | None = None
    keystore_pass: str = field(default=_default("keystore_pass"), repr=False)
    keystore_type: str = _default("keystore_type")
    private_key_file: Path | None = None
    certificate_file: Path | None = None
    open_inference_protocol: bool = _default("ts_open_inference_protocol")
    disable_token_authorization: bool = _default("disable_token_authorization")
    token_expiration: float = _default("token_expiration_min")
    token_file: Path | None = None
    enable_model_api: bool = _default("enable_model_api")
    repository_at_inference: bool = _default("repository_at_inference")
    enable_workflow_api: bool = _default("enable_workflow_api")
    dialect: str = TORCHSERVE.name
    strict_parameters: bool = _default("strict_parameters")
    workflow_strict_compat: bool = _default("workflow_strict_compat")
    expose_errors: bool | None = None
    overload_status: int = _default("overload_status")
    enable_dashboard: bool | None = None

    grpc_inference_address: Address = field(default=_default("grpc_inference_address"))
    grpc_inference_port: int = _default("grpc_inference_port")
    grpc_inference_max_connection_age: float | None = None
    grpc_inference_max_connection_age_grace: float | None = None
    grpc_management_address: Address = field(default=_default("grpc_management_address"))
    grpc_management_port: int = _default("grpc_management_port")
    grpc_management_max_connection_age: float | None = None
    grpc_management_max_connection_age_grace: float | None = None
    enable_grpc_ssl: bool = _default("enable_grpc_ssl")
    grpc_max_connection_idle: float | None = None
    grpc_map_status: bool = _default("grpc_map_status")

    model_store: Path | None = None
    load_models: LoadList = field(factory=LoadList)
    workflow_store: Path | None = None
    load_workflows: LoadList = field(factory=LoadList)
    models: Mapping[str, Mapping[str, VersionPreset]] = field(factory=dict)
    model_snapshot: Snapshot | None = None
    allowed_urls: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    install_py_dep_per_model: bool = _default("install_py_dep_per_model")
    service_envelope: str | None = None
    default_service_handler: str | None = None
    download_timeout: float = _default("download_timeout")
    max_download_size: int = _default("max_download_size")
    max_unpacked_size: int = _default("max_unpacked_size")
    max_archive_entries: int = _default("max_archive_entries")
    allow_external_handlers: bool = _default("allow_external_handlers")
    allow_requirements_options: bool = _default("allow_requirements_options")
    requirements_timeout: float = _default("requirements_timeout")
    requirements_cache: Path | None = None

    version_settings: SettingValues = field(factory=dict)
    default_workers_per_model: int = _default("default_workers_per_model")
    unregister_model_timeout: float = _default("unregister_model_timeout")
    number_of_gpu: int | None = None
    limit_max_image_pixels: bool = _default("limit_max_image_pixels")
    decode_input_request: bool = _default("decode_input_request")
    blacklist_env_vars: str | None = None
    preload_model: bool = _default("preload_model")
    initial_worker_port: int = _default("initial_worker_port")
    initial_distribution_port: int = _default("initial_distribution_port")
    sequence_id_header: str = _default("ts_header_key_sequence_id")
    sequence_start_header: str = _default("ts_header_key_sequence_start")
    sequence_end_header: str = _default("ts_header_key_sequence_end")
    worker_python: Path | None = None
    max_workers_per_model: int | None = None
    startup_parallelism: int = _default("startup_parallelism")
    load: str = _default("load")
    model_memory_limit: MemoryAmount | None = None
    gpu_memory_limit: MemoryAmount | None = None
    memory_shortage: str = _default("memory_shortage")
    ray_address: str | None = None
    remote_address: str | None = None
    remote_silence: float = _default("remote_silence")
    remote_lost: float = _default("remote_lost")
    remote_cache_size: int = _default("remote_cache_size")
    max_log_line: int = _default("max_log_line")
    max_log_lines: int = _default("max_log_lines")
    max_log_bytes: int = _default("max_log_bytes")

    enable_metrics_api: bool = _default("enable_metrics_api")
    metrics_mode: str = _default("metrics_mode")
    metrics_config: Path | None = None
    model_metrics_auto_detect: bool = _default("model_metrics_auto_detect")
    disable_system_metrics: bool = _default("disable_system_metrics")
    system_metrics_cmd: str = _default("system_metrics_cmd")
    metric_time_interval: float = _default("metric_time_interval")

    drain_lag: float = _default("drain_lag")
    tls_security_level: int | None = None
    drain_timeout: float = _default("drain_timeout")
    snapshots_kept: int = _default("snapshots_kept")
    header_timeout: float = _default("header_timeout")
    idle_timeout: float = _default("idle_timeout")
    write_timeout: float = _default("write_timeout")
    body_timeout: float = _default("body_timeout")
    minimum_body_rate: int = _default("minimum_body_rate")
    max_connections: int = _default("max_connections")
    max_connections_per_address: int = _default("max_connections_per_address")
    request_memory: int = _default("request_memory")
    response_memory: int = _default("response_memory")

    tracing: bool | None = None
    otel_exporter_otlp_endpoint: str | None = None
    otel_service_name: str | None = None
    otel_resource_attributes: str | None = None
    otel_traces_sampler: str | None = None
    otel_traces_sampler_arg: str | None = None
    otel_bsp_max_queue_size: str | None = None

    snapshots: bool = True
    log_format: str = _default("log_format")
    access_log_format: str | None = None
    log_config: Path | None = None
    log_folder: Path = Path("logs")
    metrics_log_folder: Path = Path("logs")
    temporary_folder: Path | None = None
    config_file: Path | None = None
    properties: Mapping[str, str] = field(factory=dict, repr=False)
    origins: Mapping[str, Origin] = field(factory=dict, repr=False)

    @property
    def snapshot_folder(self) -> Path:
        """Return the folder of snapshots."""
        return self.log_folder / "config"

    @property
    def workflow_folder(self) -> Path | None:
        """Return where archives of workflows are looked up."""
        return self.workflow_store or self.model_store

    @property
    def loads_on_request(self) -> bool:
        """Return whether models of the start are loaded by their first requests."""
        return self.load == "on_request"

    @property
    def memory_limit(self) -> MemoryAmount:
        """Return how much memory workers may take; who loads on request has a limit, unless it is off."""
        if self.model_memory_limit is not None:
            return self.model_memory_limit
        return MemoryAmount(share=ON_REQUEST_SHARE if self.loads_on_request else 0.0)

    @property
    def is_shared_listener(self) -> bool:
        """Return whether predictions and management have one listener."""
        return self.inference_address == self.management_address

    def grpc_address(self, side: str) -> Address | None:
        """
        Return where a gRPC service listens, or None where it does not.

        :param side: ``inference`` or ``management``.
        """
        address: Address = getattr(self, f"grpc_{side}_address")
        port: int = getattr(self, f"grpc_{side}_port")
        if address.scheme == "unix":
            # A socket has no port: only a port that says so switches it off, not MMS's default.
            return None if self.properties.get(f"grpc_{side}_port") == f"{OFF}" else address
        if port == OFF:
            return None
        return evolve(address, scheme="grpcs" if self.enable_grpc_ssl else "grpc", port=port)

    @property
    def has_grpc_open_inference(self) -> bool:
        """Return whether gRPC has the Open Inference Protocol: yes, unless the key for it says no."""
        return self.open_inference_protocol or not self.properties.get("ts_open_inference_protocol")

    def most_workers(self, cpus: int) -> int:
        """Return how many workers of a version calls and archives may ask for; the operator may have more."""
        return self.max_workers_per_model or max(MOST_WORKERS, 2 * cpus)

    def version_default(self, name: str) -> object:
        """Return the value of a setting for versions that do not give it themselves."""
        return self.version_settings.get(name, default_of(name))

    def version_defaults(self, number_of_gpu: int, cpus: int, can_fork: bool) -> VersionDefaults:
        """
        Return the defaults of versions.

        :param number_of_gpu: the GPUs that may be used.
        :param cpus: the CPUs there are.
        :param can_fork: whether template workers are possible here.
        """
        preload = "model" if self.preload_model else default_of("preload")
        return VersionDefaults(
            workers=self.default_workers_per_model,
            startup_workers=self.default_workers_per_model
            or (1 if self.loads_on_request else number_of_gpu or cpus),
            most_workers=self.most_workers(cpus),
            usual_ceiling=max(1, cpus),
            handler=self.default_service_handler,
            envelope=self.service_envelope,
            settings={
                **self.version_settings,
                "preload": preload,
            },
            number_of_gpu=number_of_gpu,
            can_fork=can_fork,
            has_cluster=self.ray_address is not None,
            sequence_headers=(self.sequence_id_header, self.sequence_start_header, self.sequence_end_header),
        )

    def telemetry_keys(self) -> Mapping[str, str]:
        """Return the keys that say what variables of OpenTelemetry say, by the variables' names."""
        names = [each.name for each in fields(Settings) if each.name.startswith("otel_")]
        values = {name.upper(): getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value}

    def archive_limits(self) -> UnpackLimits:
        """Return the limits of unpacking an archive."""
        return UnpackLimits(size=self.max_unpacked_size, entries=self.max_archive_entries)

    def manifest_rules(self) -> ManifestRules:
        """Return the rules for manifests."""
        return evolve(RULES[self.dialect], allow_outside_handler=self.allow_external_handlers)

    def worker_settings(self) -> WorkerSettings:
        """Return the settings that every worker gets."""
        return WorkerSettings(
            dialect=self.dialect,
            decode_input_request=self.decode_input_request,
            limit_max_image_pixels=self.limit_max_image_pixels,
            max_response_size=self.max_response_size,
            hidden_variables=self.blacklist_env_vars or "",
            python=None if self.worker_python is None else str(self.worker_python),
            metrics_config=None if self.metrics_config is None else str(self.metrics_config),
            torchrun_logs=str(self.log_folder / "torchelastic_ts"),
            sequence_headers=(self.sequence_id_header, self.sequence_start_header, self.sequence_end_header),
        )


def build_settings(properties: Mapping[str, str], dialect: str, cwd: Path) -> Settings:
    """
    Build the settings from text.

    :param properties: the effective properties; an empty value counts as unset, an unknown key is skipped.
    :param cwd: what relative paths start from.
    :raises ConfigurationError: a value is not allowed.
    """
    values = {key.setting: _value(key.name, properties, dialect, cwd) for key in KEYS if key.setting}
    # Which type each field has, only the table knows; a test compares it with the fields.
    known: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    if "model_snapshot" in known:
        known["load_models"] = LoadList()
        if known["model_snapshot"].workflows is not None:
            known["load_workflows"] = LoadList()
    known.update(
        version_settings=_version_settings(properties, dialect, cwd), dialect=dialect, properties=properties
    )
    return Settings(**known)


def _version_settings(properties: Mapping[str, str], dialect: str, cwd: Path) -> SettingValues:
    """Return the defaults that keys set for versions, by the settings' names."""
    values = {
        name: _value(key.name, properties, dialect, cwd)
        for name, key in VERSION_KEYS.items()
        if properties.get(key.name)
    }
    seconds = properties.get("default_response_timeout_seconds")
    override = read_value("default_response_timeout_seconds", seconds, cwd) if seconds else -1
    if isinstance(override, int) and override > 0:
        values["response_timeout"] = float(override)
    return values


def _value(name: str, properties: Mapping[str, str], dialect: str, cwd: Path) -> object:
    text = properties.get(name) or KEY[name].default_in(dialect)
    return None if not text else read_value(name, text, cwd)
