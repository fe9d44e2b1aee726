"""Where settings come from, and which source goes before which."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import printable
from tempfile import TemporaryDirectory

import javaproperties
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.address import Address
from modelserver.config.loading import CommandLine, load_settings, parse_properties
from modelserver.config.model_list import LoadList, StartupModel
from modelserver.config.settings import Settings
from modelserver.config.value_types import ConfigurationError

EMPTY_SNAPSHOT = 'model_snapshot={"modelCount": 0, "models": {}}\n'

SAGEMAKER = {
    "SAGEMAKER_BIND_TO_PORT": "8088",
    "SAGEMAKER_MODEL_STORE": "/opt/ml/model",
    "SAGEMAKER_HANDLER": "service:handle",
    "SAGEMAKER_NUM_MODEL_WORKERS": "3",
    "SAGEMAKER_RESPONSE_TIMEOUT": "60",
    "SAGEMAKER_MAX_REQUEST_SIZE": "100",
    "SAGEMAKER_MAX_RESPONSE_SIZE": "200",
}


class SourcesTestCase(SynchronousTestCase):
    """A folder to start the server in."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cwd = Path(folder.name).resolve()

    def write(self, name: str, text: str) -> Path:
        """Write a file into the folder."""
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def load(
        self,
        options: CommandLine = CommandLine(),  # noqa: B008  # frozen
        environ: Mapping[str, str] | None = None,
        dialect: str | None = None,
    ) -> Settings:
        """Load, without the warnings."""
        return load_settings(options, environ or {}, self.cwd, dialect)[0]

    def warnings(self, text: str, options: CommandLine = CommandLine()) -> tuple[str, ...]:  # noqa: B008
        """Load a file, and only keep the warnings."""
        self.write("config.properties", text + "\nallowed_urls=https://ours/.*\n")
        return load_settings(options, {}, self.cwd)[1]

    def refused(self, text: str, environ: Mapping[str, str] | None = None) -> str:
        """Load a file that is refused."""
        self.write("config.properties", text)
        return str(self.assertRaises(ConfigurationError, self.load, environ=environ))


class FileTests(SourcesTestCase):
    """One properties file is read."""

    def test_none(self) -> None:
        settings = self.load()
        self.assertIsNone(settings.config_file)
        self.assertEqual(settings.version_default("job_queue_size"), 100)

    def test_order(self) -> None:
        self.write("config.properties", "job_queue_size=1")
        self.assertEqual(self.load().version_default("job_queue_size"), 1)
        self.write("logs/config/20260101000000000-shutdown.cfg", "job_queue_size=2")
        self.assertEqual(self.load().version_default("job_queue_size"), 2)
        self.write("option.properties", "job_queue_size=3")
        option = CommandLine(config_file="option.properties")
        self.assertEqual(self.load(option).version_default("job_queue_size"), 3)
        variable = self.write("variable.properties", "job_queue_size=4")
        settings = self.load(option, {"TS_CONFIG_FILE": str(variable)})
        self.assertEqual((settings.version_default("job_queue_size"), settings.config_file), (4, variable))

    def test_no_snapshot_is_looked_for_without_snapshots(self) -> None:
        self.write("logs/config/20260101000000000-shutdown.cfg", "job_queue_size=2")
        settings = self.load(CommandLine(no_config_snapshots=True))
        self.assertEqual((settings.version_default("job_queue_size"), settings.snapshots), (100, False))

    def test_mms_has_no_snapshots(self) -> None:
        self.write("logs/config/20260101000000000-shutdown.cfg", "job_queue_size=2")
        settings = self.load(dialect="mms")
        self.assertEqual((settings.version_default("job_queue_size"), settings.snapshots), (100, False))

    def test_snapshots_are_in_the_log_location(self) -> None:
        self.write("elsewhere/config/20260101000000000-shutdown.cfg", "job_queue_size=2")
        settings = self.load(environ={"LOG_LOCATION": "elsewhere"})
        self.assertEqual(settings.version_default("job_queue_size"), 2)
        self.assertEqual(settings.snapshot_folder, self.cwd / "elsewhere/config")

    def test_missing_files_are_named(self) -> None:
        for options, environ, dialect, text in (
            (CommandLine(config_file="x"), {}, None, "--ts-config file not found: x"),
            (CommandLine(config_file="x"), {}, "mms", "--mms-config file not found: x"),
            (CommandLine(), {"TS_CONFIG_FILE": "y"}, None, "TS_CONFIG_FILE file not found: y"),
            (CommandLine(), {"MMS_CONFIG_FILE": "y"}, None, "MMS_CONFIG_FILE file not found: y"),
        ):
            error = self.assertRaises(ConfigurationError, self.load, options, environ, dialect)
            self.assertEqual(str(error), text)

    def test_dialect_is_known(self) -> None:
        error = self.assertRaises(ConfigurationError, self.load, dialect="tf")
        self.assertRegex(str(error), "dialect=tf.*torchserve or mms")
        self.assertEqual(self.load(dialect="MMS").dialect, "mms")

    def test_folder_is_no_file(self) -> None:
        error = self.assertRaises(ConfigurationError, self.load, CommandLine(config_file="."))
        self.assertIn("cannot be read: Is a directory", str(error))


class SyntaxTests(SourcesTestCase):
    """Java's properties syntax, and variables in values."""

    def test_syntax(self) -> None:
        text = "# c\n! c\n a = b \\\n    c\nd: \\u00e9\ne f\n\ng=1\ng=2\nh\n"
        self.assertEqual(parse_properties(text), {"a": "b c", "d": "é", "e": "f", "g": "2", "h": ""})

    def test_utf8_and_latin1(self) -> None:
        for encoding in ("utf-8", "latin-1", "utf-8-sig"):
            (self.cwd / "config.properties").write_bytes("model_store=/modèles".encode(encoding))
            self.assertEqual(self.load().model_store, Path("/modèles"), encoding)

    def test_variables_are_replaced(self) -> None:
        self.write("config.properties", "inference_address=http://$$HOST$$:$$PORT$$")
        settings = self.load(environ={"HOST": "0.0.0.0", "PORT": "99"})
        self.assertEqual(settings.inference_address, Address("http", "0.0.0.0", 99))

    def test_missing_variable(self) -> None:
        self.assertEqual(
            self.refused("model_store=/x/$$NAME$$"),
            "model_store=/x/$$NAME$$: Invalid Environment Variable NAME",
        )

    def test_malformed_escape(self) -> None:
        self.assertIn("\\u12", self.refused("a=\\u12"))

    @given(st.dictionaries(st.text(min_size=1), st.text().map(str.strip).filter(lambda t: "$$" not in t)))
    def test_what_is_written_is_read(self, properties: dict[str, str]) -> None:
        self.assertEqual(parse_properties(javaproperties.dumps(properties, timestamp=False)), properties)

    @given(st.text(alphabet=printable))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            parse_properties(text)
        except ConfigurationError:
            pass


class CommandLineTests(SourcesTestCase):
    """The command line goes before the file."""

    def test_options(self) -> None:
        self.write("config.properties", "model_store=a\nload_models=all\njob_queue_size=5")
        options = CommandLine(
            model_store="b",
            models=("m.mar", "x=n.mar"),
            enable_model_api=True,
            disable_token_auth=True,
            properties={"job_queue_size": "6"},
        )
        settings = self.load(options)
        self.assertEqual(settings.model_store, self.cwd / "b")
        self.assertEqual(
            settings.load_models, LoadList((StartupModel(None, "m.mar"), StartupModel("x", "n.mar")))
        )
        self.assertEqual(settings.version_default("job_queue_size"), 6)
        self.assertTrue(settings.enable_model_api and settings.disable_token_authorization)

    def test_switches_only_turn_on(self) -> None:
        self.write("config.properties", "enable_model_api=true\ndisable_token_authorization=true")
        settings = self.load()
        self.assertTrue(settings.enable_model_api and settings.disable_token_authorization)

    def test_log_config(self) -> None:
        self.write("config.properties", "vmargs=-Xmx1g -Dlog4j.configurationFile=file:///etc/l.xml -Dx=y")
        self.assertEqual(self.load().log_config, Path("/etc/l.xml"))
        self.assertEqual(self.load(CommandLine(log_config="l.xml")).log_config, self.cwd / "l.xml")


class EnvironmentTests(SourcesTestCase):
    """Environment variables count where the file allows it."""

    def test_only_with_enable_envvars_config(self) -> None:
        environ = {"TS_JOB_QUEUE_SIZE": "7"}
        self.write("config.properties", "job_queue_size=5")
        self.assertEqual(self.load(environ=environ).version_default("job_queue_size"), 5)
        self.write("config.properties", "job_queue_size=5\nenable_envvars_config=true")
        self.assertEqual(self.load(environ=environ).version_default("job_queue_size"), 7)

    def test_environment_goes_before_the_command_line(self) -> None:
        self.write("config.properties", "enable_envvars_config=true")
        settings = self.load(CommandLine(model_store="/a"), {"TS_MODEL_STORE": "/b"})
        self.assertEqual(settings.model_store, Path("/b"))

    def test_file_only_keys(self) -> None:
        self.write("config.properties", "enable_envvars_config=true")
        environ = {"TS_METRIC_TIME_INTERVAL": "1", "TS_MODELS": "no JSON"}
        self.assertEqual(self.load(environ=environ).metric_time_interval, 60.0)

    def test_empty_variable_says_nothing(self) -> None:
        self.write("config.properties", "job_queue_size=5\nenable_envvars_config=true")
        self.assertEqual(self.load(environ={"TS_JOB_QUEUE_SIZE": ""}).version_default("job_queue_size"), 5)

    def test_prefix_is_the_dialects(self) -> None:
        self.write("config.properties", "enable_envvars_config=true")
        environ = {"TS_JOB_QUEUE_SIZE": "7", "MMS_JOB_QUEUE_SIZE": "8"}
        self.assertEqual(self.load(environ=environ).version_default("job_queue_size"), 7)
        self.assertEqual(self.load(environ=environ, dialect="mms").version_default("job_queue_size"), 8)

    def test_variables_that_always_count(self) -> None:
        settings = self.load(environ={"TS_OPEN_INFERENCE_PROTOCOL": "oip", "TS_TOKEN_FILE": "/run/tokens"})
        self.assertTrue(settings.open_inference_protocol)
        self.assertEqual(settings.token_file, Path("/run/tokens"))

    def test_allowed_urls_have_a_switch_of_their_own(self) -> None:
        environ = {"TS_ALLOWED_URLS": "https://env/.*"}
        for text, expected in (
            ("allowed_urls=https://file/.*", "https://file/.*"),
            ("allowed_urls=https://file/.*\nenable_envvars_config=true", "https://file/.*"),
            ("allowed_urls=https://file/.*\nuse_env_allowed_urls=true", "https://env/.*"),
        ):
            self.write("config.properties", text)
            self.assertEqual(self.load(environ=environ).allowed_urls, (expected,), text)

    def test_folders(self) -> None:
        settings = self.load(environ={"METRICS_LOCATION": "/m", "TEMP": str(self.cwd)})
        self.assertEqual(settings.metrics_log_folder, Path("/m"))
        self.assertEqual(settings.temporary_folder, self.cwd)

    def test_temporary_folder_must_exist(self) -> None:
        error = self.assertRaises(ConfigurationError, self.load, environ={"TEMP": "/does/not/exist"})
        self.assertEqual(str(error), "Invalid temp directory: /does/not/exist")


class DialectTests(SourcesTestCase):
    """The key, the launcher, MMS's variable, in this order."""

    def test_order(self) -> None:
        file = self.write("mms.properties", "job_queue_size=3")
        environ = {"MMS_CONFIG_FILE": str(file)}
        self.assertEqual(self.load().dialect, "torchserve")
        self.assertEqual(self.load(environ=environ).dialect, "mms")
        self.assertEqual(self.load(environ=environ).version_default("job_queue_size"), 3)
        self.assertEqual(self.load(environ=environ, dialect="torchserve").dialect, "torchserve")
        self.assertEqual(self.load(dialect="mms").dialect, "mms")
        self.write("config.properties", "dialect=mms")
        self.assertEqual(self.load(dialect="torchserve").dialect, "mms")

    def test_unknown(self) -> None:
        self.assertEqual(self.refused("dialect=seldon"), "dialect=seldon (allowed: torchserve or mms)")

    def test_number_of_workers_in_mms(self) -> None:
        for text, dialect, expected in (
            ("", "mms", 6),
            ("default_workers_per_model=2", "mms", 2),
            ("", "torchserve", 0),
        ):
            self.write("config.properties", text)
            settings = self.load(environ={"NUM_WORKERS": "6"}, dialect=dialect)
            self.assertEqual(settings.default_workers_per_model, expected)


class SageMakerTests(SourcesTestCase):
    """The packaged profile."""

    def test_profile(self) -> None:
        settings = self.load(CommandLine(config_file="sagemaker"), SAGEMAKER, "mms")
        self.assertEqual(settings.inference_address, Address("http", "0.0.0.0", 8088))
        self.assertTrue(settings.is_shared_listener)
        self.assertEqual(settings.model_store, Path("/opt/ml/model"))
        self.assertEqual(settings.default_service_handler, "service:handle")
        self.assertEqual(settings.default_workers_per_model, 3)
        self.assertEqual(
            (settings.version_default("response_timeout"), settings.unregister_model_timeout), (60.0, 60.0)
        )
        self.assertEqual((settings.max_request_size, settings.max_response_size), (100, 200))
        self.assertFalse(settings.decode_input_request)

    def test_every_variable_is_needed(self) -> None:
        for name in SAGEMAKER:
            environ = {key: value for key, value in SAGEMAKER.items() if key != name}
            error = self.assertRaises(
                ConfigurationError, self.load, CommandLine(config_file="sagemaker"), environ, "mms"
            )
            self.assertEqual(error.reason, f"Invalid Environment Variable {name}")


class WarningTests(SourcesTestCase):
    """What is unknown or does nothing is told, once."""

    def test_silence(self) -> None:
        self.assertEqual(self.warnings("job_queue_size=5\nversion=0.12.0\npython=/x\ntsConfigFile=y"), ())

    def test_unknown_key(self) -> None:
        self.assertEqual(
            self.warnings("job_queue_sise=5"),
            ("job_queue_sise is not a key of the configuration; it is ignored.",),
        )

    def test_accepted_and_unsupported_keys(self) -> None:
        told = self.warnings("vmargs=-Xmx4g\ncpp_log_config=x.yaml\nnumber_of_netty_threads=4")
        self.assertEqual(
            [warning.split()[0] for warning in told],
            ["vmargs", "cpp_log_config", "number_of_netty_threads"],
        )

    def test_accepted_key_with_a_value_that_would_be_refused_elsewhere(self) -> None:
        self.assertEqual(len(self.warnings("number_of_netty_threads=many")), 1)

    def test_other_words_than_true_and_false(self) -> None:
        """SageMaker's toolkit for PyTorch forgets the end of a line; the peers take any word for false."""
        text = "enable_model_api=truedefault_response_timeout=60"
        (told,) = self.warnings(text)
        self.assertEqual(told, f"{text} is read as false: neither true nor false.")
        self.assertFalse(self.load().enable_model_api)
        self.assertEqual(self.warnings("enable_model_api=TRUE\ndecode_input_request=\n"), ())
        self.assertIn("allowed: true or false", self.refused("expose_errors=yes"))

    def test_keys_of_workflows_where_there_are_none(self) -> None:
        text = "load_workflows=ALL\nworkflow_store="
        self.assertEqual(self.warnings(f"{text}\ndialect=torchserve"), ())
        (told,) = self.warnings(f"{text}\ndialect=mms")
        self.assertEqual("load_workflows is ignored: there are no workflows in the dialect mms.", told)

    def test_open_allowed_urls(self) -> None:
        warnings = load_settings(CommandLine(), {}, self.cwd)[1]
        self.assertEqual(len(warnings), 1)
        self.assertIn("allowed_urls is not set", warnings[0])

    def test_models_beside_a_snapshot(self) -> None:
        told = self.warnings(EMPTY_SNAPSHOT, CommandLine(models=("a.mar",)))
        self.assertEqual(len(told), 1)
        self.assertIn("--models is ignored", told[0])


class BadValueTests(SourcesTestCase):
    """A bad value stops the start, wherever it was set."""

    def test_file(self) -> None:
        self.assertEqual(
            self.refused("inference_address=127.0.0.1"),
            "inference_address=127.0.0.1: Invalid binding address: 127.0.0.1 (allowed: http://HOST[:PORT] "
            "(port 80), https://HOST[:PORT] (port 443) or unix:/PATH)",
        )

    def test_environment(self) -> None:
        self.assertIn(
            "job_queue_size=x", self.refused("enable_envvars_config=true", {"TS_JOB_QUEUE_SIZE": "x"})
        )
