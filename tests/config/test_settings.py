"""Settings are built from text, and a bad value is named."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.manifest import MMS_RULES, TORCHSERVE_RULES
from modelserver.config.address import Address
from modelserver.config.model_list import LoadList, StartupModel
from modelserver.config.settings import Settings, build_settings, read_value
from modelserver.config.table import KEY
from modelserver.config.value_types import ConfigurationError
from modelserver.management.models_json import VersionPreset
from modelserver.management.version_spec import VersionDefaults
from modelserver.spec import WorkerSettings

HOME = Path("/srv")

READ: tuple[tuple[str, str, object], ...] = (
    ("inference_address", "https://0.0.0.0", Address("https", "0.0.0.0", 443)),
    ("management_address", "http://0.0.0.0", Address("http", "0.0.0.0", 8081)),
    ("management_address", "https://0.0.0.0", Address("https", "0.0.0.0", 8444)),
    ("metrics_address", "http://0.0.0.0", Address("http", "0.0.0.0", 8082)),
    ("metrics_address", "https://0.0.0.0", Address("https", "0.0.0.0", 8445)),
    ("model_store", "store", Path("/srv/store")),
    ("model_store", "/store", Path("/store")),
    ("max_request_size", "100", 100),
    ("max_request_size", "64M", 64 * 1024**2),
    ("max_response_size", "2k", 2048),
    ("disable_token_authorization", "TRUE", True),
    ("decode_input_request", "False", False),
    ("ts_open_inference_protocol", "oip", True),
    ("token_expiration_min", "0.5", 30.0),
    ("default_response_timeout", "7", 7.0),
    ("default_startup_timeout", "2.5", 2.5),
    ("metrics_mode", " Prometheus ", "prometheus"),
    ("service_envelope", "KServe", "kserve"),
    ("allowed_urls", r"https://a/.*, file://.*", (r"https://a/.*", "file://.*")),
    ("blacklist_env_vars", "AWS_.*|SECRET", "AWS_.*|SECRET"),
    ("load_models", "x=a.mar", LoadList((StartupModel("x", "a.mar"),))),
    ("models", '{"m": {"1.0": {"batchSize": 4}}}', {"m": {"1.0": VersionPreset(settings={"batch_size": 4})}}),
    ("overload_status", "429", 429),
    ("grpc_inference_port", "-1", -1),
    ("grpc_management_max_connection_age_ms", "1500", 1.5),
    ("grpc_management_max_connection_age_grace_ms", "0", 0.0),
    ("dialect", "MMS", "mms"),
)

REFUSED = (
    ("inference_address", "htp://x", "Invalid binding address: htp://x"),
    ("metrics_address", "http://x:70000", "Invalid port number: http://x:70000"),
    ("job_queue_size", "abc", ""),
    ("job_queue_size", "0", ""),
    ("job_queue_size", "1_0", ""),
    ("job_queue_size", "9" * 5000, ""),
    ("max_request_size", "0", ""),
    ("max_request_size", "1T", ""),
    ("default_workers_per_model", "-1", ""),
    ("default_response_timeout", "0", ""),
    ("default_response_timeout", "soon", ""),
    ("default_startup_timeout", "nan", ""),
    ("drain_timeout", "inf", ""),
    ("drain_timeout", "-1", ""),
    ("expose_errors", "yes", ""),
    ("service_envelope", "custom", ""),
    ("metrics_mode", "statsd", ""),
    ("blacklist_env_vars", "(", "not a regular expression: missing ), unterminated subpattern at position 0"),
    ("allowed_urls", "ok,*", "not a regular expression: nothing to repeat at position 0"),
    ("models", "[]", "it is not a JSON object"),
    ("model_snapshot", "[]", "model_snapshot is not a JSON object"),
    ("overload_status", "500", ""),
    ("ts_open_inference_protocol", "kserve", ""),
    ("retry_on_worker_death", "2", ""),
    ("grpc_inference_port", "-2", ""),
    ("grpc_management_port", "65536", ""),
    ("grpc_inference_address", "127.0.0.1:7070", "At least 3 parts expected in '127.0.0.1:7070'"),
    ("grpc_inference_max_connection_age_ms", "0", ""),
)


class ReadValueTests(SynchronousTestCase):
    """A value is read by its key's kind."""

    def test_values(self) -> None:
        for name, text, expected in READ:
            self.assertEqual(read_value(name, text, HOME), expected, (name, text))

    def test_refused_values_name_key_value_and_what_is_allowed(self) -> None:
        for name, text, reason in REFUSED:
            error = self.assertRaises(ConfigurationError, read_value, name, text, HOME)
            expected = (name, text, KEY[name].kind.allowed, reason)
            self.assertEqual((error.key, error.value, error.allowed, error.reason), expected)
            self.assertIn(f"{name}={text}", str(error))
            self.assertIn(KEY[name].kind.allowed, str(error))

    def test_sentence(self) -> None:
        error = self.assertRaises(ConfigurationError, read_value, "job_queue_size", "abc", HOME)
        self.assertEqual(str(error), "job_queue_size=abc (allowed: a whole number, 1 or more)")


class BuildSettingsTests(SynchronousTestCase):
    """Properties become one value."""

    def test_nothing_set(self) -> None:
        self.assertEqual(build_settings({}, "torchserve", HOME), Settings())

    def test_empty_value_is_unset(self) -> None:
        built = build_settings({"job_queue_size": "", "model_store": ""}, "torchserve", HOME)
        self.assertEqual((built.version_default("job_queue_size"), built.model_store), (100, None))

    def test_properties_are_kept(self) -> None:
        properties = {"job_queue_size": "7", "unknown": "x"}
        self.assertEqual(build_settings(properties, "torchserve", HOME).properties, properties)

    def test_mms_has_no_tokens_and_its_model_api_is_on(self) -> None:
        built = build_settings({}, "mms", HOME)
        self.assertEqual(
            (built.disable_token_authorization, built.enable_model_api, built.enable_metrics_api),
            (True, True, False),
        )

    def test_mms_defaults_can_be_overridden(self) -> None:
        self.assertFalse(build_settings({"enable_model_api": "false"}, "mms", HOME).enable_model_api)

    def test_response_timeout_in_seconds_goes_first(self) -> None:
        for seconds, expected in (("9", 9.0), ("-1", 60.0), ("0", 60.0), ("", 60.0)):
            properties = {
                "default_response_timeout": "60",
                "default_response_timeout_seconds": seconds,
            }
            self.assertEqual(
                build_settings(properties, "mms", HOME).version_default("response_timeout"), expected
            )

    def test_snapshot_goes_before_load_models(self) -> None:
        properties = {"load_models": "all", "model_snapshot": '{"modelCount": 0, "models": {}}'}
        built = build_settings(properties, "torchserve", HOME)
        self.assertEqual(built.load_models, LoadList())
        self.assertIsNotNone(built.model_snapshot)

    def test_password_is_not_shown(self) -> None:
        built = build_settings({"keystore_pass": "open-sesame"}, "torchserve", HOME)
        self.assertEqual(built.keystore_pass, "open-sesame")
        self.assertNotIn("open-sesame", repr(built))


class DerivedTests(SynchronousTestCase):
    """What is made from settings."""

    def test_shared_listener(self) -> None:
        same = {"inference_address": "http://0.0.0.0:8080", "management_address": "http://0.0.0.0:8080"}
        self.assertTrue(build_settings(same, "torchserve", HOME).is_shared_listener)
        self.assertFalse(Settings().is_shared_listener)

    def test_version_defaults(self) -> None:
        settings = Settings(
            default_workers_per_model=0,
            default_service_handler="h",
            service_envelope="json",
            preload_model=True,
            version_settings={"worker_start": "spawn", "worker_grace": 1.0},
        )
        self.assertEqual(
            settings.version_defaults(2, 8, can_fork=False),
            VersionDefaults(
                workers=0,
                startup_workers=2,
                usual_ceiling=8,
                handler="h",
                envelope="json",
                number_of_gpu=2,
                can_fork=False,
                settings={
                    "worker_start": "spawn",
                    "preload": "model",
                    "worker_grace": 1.0,
                },
            ),
        )

        self.assertEqual(settings.version_default("job_queue_bytes"), 268435456)

    def test_workers_at_the_start(self) -> None:
        for workers, gpus, cpus, expected in ((3, 2, 8, 3), (0, 2, 8, 2), (0, 0, 8, 8)):
            settings = Settings(default_workers_per_model=workers)
            self.assertEqual(settings.version_defaults(gpus, cpus, True).startup_workers, expected)

    def test_worker_settings(self) -> None:
        settings = Settings(dialect="mms", blacklist_env_vars="AWS.*", worker_python=Path("/py"))
        self.assertEqual(
            settings.worker_settings(),
            WorkerSettings(dialect="mms", hidden_variables="AWS.*", python="/py"),
        )
        self.assertEqual(
            Settings(log_folder=Path("/l")).worker_settings().torchrun_logs, "/l/torchelastic_ts"
        )

    def test_archive_limits(self) -> None:
        limits = Settings(max_unpacked_size=5, max_archive_entries=6).archive_limits()
        self.assertEqual((limits.size, limits.entries), (5, 6))

    def test_manifest_rules(self) -> None:
        self.assertEqual(Settings().manifest_rules(), TORCHSERVE_RULES)
        self.assertEqual(Settings(dialect="mms").manifest_rules(), MMS_RULES)
        self.assertTrue(Settings(allow_external_handlers=True).manifest_rules().allow_outside_handler)

    def test_snapshot_folder(self) -> None:
        self.assertEqual(Settings(log_folder=Path("/l")).snapshot_folder, Path("/l/config"))
