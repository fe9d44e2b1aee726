"""The table of keys holds every key of the reference, and is of one piece with the settings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_type_hints

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import Settings, build_settings, read_value
from modelserver.config.table import KEY, KEYS
from modelserver.version_settings.table import VERSION_SETTINGS

# Every key of configuration.md, section 2: key, default, who knows it.
BOTH, TS, MMS = ("TS", "MMS"), ("TS",), ("MMS",)
REFERENCE: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
    ("inference_address", "http://127.0.0.1:8080", BOTH),
    ("management_address", "http://127.0.0.1:8081", BOTH),
    ("metrics_address", "http://127.0.0.1:8082", TS),
    ("grpc_inference_address", "127.0.0.1", TS),
    ("grpc_management_address", "127.0.0.1", TS),
    ("grpc_inference_port", "7070", TS),
    ("grpc_management_port", "7071", TS),
    ("grpc_inference_max_connection_age_ms", None, TS),
    ("grpc_management_max_connection_age_ms", None, TS),
    ("grpc_inference_max_connection_age_grace_ms", None, TS),
    ("grpc_management_max_connection_age_grace_ms", None, TS),
    ("enable_grpc_ssl", "false", TS),
    ("model_store", None, BOTH),
    ("workflow_store", None, TS),
    ("load_models", None, BOTH),
    ("models", None, TS),
    ("model_snapshot", None, TS),
    ("default_workers_per_model", "0", BOTH),
    ("default_response_timeout", "120", BOTH),
    ("default_response_timeout_seconds", "-1", MMS),
    ("default_startup_timeout", "120", TS),
    ("unregister_model_timeout", "120", BOTH),
    ("job_queue_size", "100", BOTH),
    ("number_of_gpu", None, BOTH),
    ("number_of_netty_threads", "0", BOTH),
    ("netty_client_threads", "0", BOTH),
    ("max_request_size", "6553500", BOTH),
    ("max_response_size", "6553500", BOTH),
    ("limit_max_image_pixels", "true", TS),
    ("decode_input_request", "true", BOTH),
    ("default_service_handler", None, BOTH),
    ("service_envelope", None, TS),
    ("allowed_urls", None, TS),
    ("use_env_allowed_urls", "false", TS),
    ("install_py_dep_per_model", "false", TS),
    ("blacklist_env_vars", None, BOTH),
    ("cors_allowed_origin", None, BOTH),
    ("cors_allowed_methods", None, BOTH),
    ("cors_allowed_headers", None, BOTH),
    ("keystore", None, BOTH),
    ("keystore_pass", "changeit", BOTH),
    ("keystore_type", "PKCS12", BOTH),
    ("private_key_file", None, BOTH),
    ("certificate_file", None, BOTH),
    ("async_logging", "false", BOTH),
    ("prefer_direct_buffer", "false", BOTH),
    ("metrics_config", None, TS),
    ("metrics_mode", "log", TS),
    ("model_metrics_auto_detect", "false", TS),
    ("disable_system_metrics", "false", TS),
    ("system_metrics_cmd", "", TS),
    ("metric_time_interval", "60", BOTH),
    ("enable_metrics_api", "true", TS),
    ("disable_token_authorization", "false", TS),
    ("token_expiration_min", "60", TS),
    ("enable_model_api", "false", TS),
    ("ts_open_inference_protocol", "false", TS),
    ("ts_header_key_sequence_id", "ts_request_sequence_id", TS),
    ("ts_header_key_sequence_start", "ts_request_sequence_start", TS),
    ("ts_header_key_sequence_end", "ts_request_sequence_end", TS),
    ("initial_worker_port", "9000", TS),
    ("initial_distribution_port", "29500", TS),
    ("ipex_enable", "false", TS),
    ("ipex_gpu_enable", "false", TS),
    ("cpu_launcher_enable", "false", TS),
    ("cpu_launcher_args", None, TS),
    ("cpp_log_config", None, TS),
    ("model_server_home", None, BOTH),
    ("preload_model", "false", MMS),
    ("debug", "false", BOTH),
    ("use_native_io", "true", BOTH),
    ("io_ratio", "50", BOTH),
    ("enable_envvars_config", "false", BOTH),
    ("plugins_path", None, BOTH),
    ("vmargs", None, BOTH),
    ("version", None, TS),
)

FILE_ONLY = (
    "models",
    "model_snapshot",
    "use_env_allowed_urls",
    "system_metrics_cmd",
    "metric_time_interval",
    "use_native_io",
    "io_ratio",
    "enable_envvars_config",
    "plugins_path",
    "vmargs",
)

OWN_VARIABLES = {
    "token_expiration_min": "TS_TOKEN_EXPIRATION_TIME_MIN",
    "ts_open_inference_protocol": "TS_OPEN_INFERENCE_PROTOCOL",
    "ts_header_key_sequence_id": "TS_HEADER_KEY_SEQUENCE_ID",
    "ts_header_key_sequence_start": "TS_HEADER_KEY_SEQUENCE_START",
    "ts_header_key_sequence_end": "TS_HEADER_KEY_SEQUENCE_END",
}

NOT_FROM_KEYS = {
    "snapshots",
    "log_config",
    "log_folder",
    "metrics_log_folder",
    "temporary_folder",
    "config_file",
    "properties",
    "origins",
    "version_settings",
}


class TableTests(SynchronousTestCase):
    """One table drives everything."""

    def test_every_key_of_the_reference_is_there(self) -> None:
        for name, default, peers in REFERENCE:
            self.assertIn(name, KEY)
            self.assertEqual((KEY[name].default, KEY[name].peers), (default, peers), name)

    def test_names_are_unique(self) -> None:
        self.assertEqual([name for name, count in Counter(key.name for key in KEYS).items() if count > 1], [])

    def test_rows_are_complete(self) -> None:
        for key in KEYS:
            self.assertTrue(key.meaning.endswith("."), key.name)
            self.assertEqual(bool(key.reason), key.status in ("accepted", "unsupported"), key.name)
            self.assertEqual(bool(key.peers), key.status != "ours", key.name)

    def test_variables(self) -> None:
        self.assertEqual(KEY["job_queue_size"].variable_name("torchserve"), "TS_JOB_QUEUE_SIZE")
        self.assertEqual(KEY["job_queue_size"].variable_name("mms"), "MMS_JOB_QUEUE_SIZE")
        for name in FILE_ONLY:
            self.assertIsNone(KEY[name].variable_name("torchserve"), name)
        for name, variable in OWN_VARIABLES.items():
            self.assertEqual(KEY[name].variable_name("torchserve"), variable)


class TableAndSettingsTests(SynchronousTestCase):
    """The table and the fields of ``Settings`` say the same."""

    def test_each_field_has_one_key(self) -> None:
        settings = [key.setting for key in KEYS if key.setting]
        self.assertEqual(sorted(settings), sorted({field.name for field in fields(Settings)} - NOT_FROM_KEYS))

    def test_defaults_can_be_read_and_are_the_fields_own(self) -> None:
        plain = Settings()
        for key in KEYS:
            if key.setting and key.default is not None:
                value = read_value(key.name, key.default, Path("/"))
                self.assertEqual(getattr(plain, key.setting), value, key.name)

    def test_keys_of_version_settings(self) -> None:
        for row in VERSION_SETTINGS:
            if row.key is not None:
                key = KEY[row.key.name]
                value = read_value(key.name, key.default or "", Path("/"))
                self.assertEqual((value, type(value)), (row.default, type(row.default)), row.name)
                built = build_settings({key.name: key.default or ""}, "torchserve", Path("/"))
                self.assertEqual(built.version_settings, {row.name: row.default})

    def test_defaults_have_the_fields_types(self) -> None:
        types, plain = get_type_hints(Settings), Settings()
        for key in KEYS:
            if key.setting and key.default is not None:
                self.assertIs(type(getattr(plain, key.setting)), types[key.setting], key.name)


class WarningTests(SynchronousTestCase):
    """A key that does nothing says so, unless it says nothing itself."""

    def test_accepted(self) -> None:
        self.assertEqual(
            KEY["plugins_path"].warning("/plugins"),
            "plugins_path has no meaning here: Java plugins cannot be loaded.",
        )

    def test_unsupported(self) -> None:
        self.assertEqual(
            KEY["cpp_log_config"].warning("x.yaml"),
            "cpp_log_config is not supported: there is no C++ backend.",
        )

    def test_silent(self) -> None:
        for name, value in (
            ("job_queue_size", "7"),
            ("drain_lag", "7"),
            ("use_native_io", "true"),
            ("system_metrics_cmd", ""),
            ("vmargs", ""),
            ("version", "0.12.0"),
        ):
            self.assertIsNone(KEY[name].warning(value), name)
