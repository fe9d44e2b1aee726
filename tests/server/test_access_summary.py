"""The line that says who may do what."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.address import parse_address
from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.settings import Settings, build_settings
from modelserver.server.access_summary import (
    SECRET_FILES,
    access_line,
    exposures,
    open_to_others,
    own_names,
    pages_line,
)
from modelserver.tap import PRESETS

PLAIN = "can be read on its way"
BY_ITS_OWN_NAME = PRESETS[""]
OFF = "tokens are not asked for"
ON = "tokens are asked for"
CAN = "models can be registered and unregistered over HTTP"
CANNOT = "models cannot be registered and unregistered over HTTP"
BUT = ", but workflows can (default, enable_workflow_api=true)"


class AccessTests(SynchronousTestCase):
    """A configuration, and the command that it is given to."""

    def settings(self, text: str, by_own_name: bool, dialect: str = "torchserve") -> Settings:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        (Path(folder.name) / "config.properties").write_text(text)
        preset = BY_ITS_OWN_NAME if by_own_name else None
        return load_settings(CommandLine(), {}, Path(folder.name), dialect, preset)[0]

    def test_who_decided(self) -> None:
        tokens, control = "disable_token_authorization", "enable_model_api"
        preset = [f"preset of this command, unless {key} is configured" for key in (tokens, control)]
        default = [f"default, {key}=false" for key in (tokens, control)]
        for text, by_own_name, wanted in (
            ("", True, f"{OFF} ({preset[0]}); {CAN} ({preset[1]})"),
            ("", False, f"{ON} ({default[0]}); {CANNOT} ({default[1]}){BUT}"),
            (f"{tokens}=false", True, f"{ON} (configured, {tokens}=false); {CAN} ({preset[1]})"),
            (f"{control}=false", True, f"{OFF} ({preset[0]}); {CANNOT} (configured, {control}=false){BUT}"),
            (
                f"{tokens}=true",
                False,
                f"{OFF} (configured, {tokens}=true); {CANNOT} (default, {control}=false){BUT}",
            ),
            ("enable_workflow_api=false", False, f"{ON} ({default[0]}); {CANNOT} ({default[1]})"),
            (
                "enable_workflow_api=false",
                True,
                f"{OFF} ({preset[0]}); {CAN} ({preset[1]}), "
                "but workflows cannot (configured, enable_workflow_api=false)",
            ),
        ):
            self.assertEqual(access_line(self.settings(text, by_own_name)), f"Access: {wanted}.", text)

    def test_multi_model_server_has_no_tokens_by_default(self) -> None:
        line = access_line(self.settings("", False, "mms"))
        self.assertIn(f"{OFF} (default, disable_token_authorization=true)", line)

    def test_names_that_need_no_key_of_their_own(self) -> None:
        text = (
            "allowed_hosts=a.example\nmanagement_address=http://B.example:81\ninference_address=unix:/tmp/s"
        )
        settings = self.settings(text, True, "mms")
        self.assertEqual(own_names(settings, {"PATH": "/bin"}), {"b.example"})
        names = own_names(settings, {"SAGEMAKER_MULTI_MODEL": "true"})
        self.assertEqual(names, {"b.example", "model.aws.local"})

    def test_under_which_names_the_server_may_be_changed(self) -> None:
        self.assertIsNone(pages_line(self.settings("", False)))
        self.assertIn("localhost (allowed_hosts)", str(pages_line(self.settings("", True))))
        text = "allowed_hosts=Models.example.org, ui.example.org:3000"
        named = "localhost, models.example.org, ui.example.org:3000 (allowed_hosts)"
        for dialect in ("torchserve", "mms"):
            self.assertIn(named, str(pages_line(self.settings(text, True, dialect))))

    def test_a_warning_where_only_the_command_lets_others_in(self) -> None:
        anybody = "management_address=http://0.0.0.0:8081"
        for text, by_own_name, warns in (
            ("", True, False),
            ("inference_address=unix:/tmp/s\nmanagement_address=http://[::1]:8081", True, False),
            ("inference_address=http://localhost:8080", True, False),
            (anybody, True, True),
            ("inference_address=https://models.example.org:8080", True, True),
            (anybody, False, False),
            (f"{anybody}\ndisable_token_authorization=true", True, False),
            (f"{anybody}\ndisable_token_authorization=false", True, False),
        ):
            self.assertEqual(open_to_others(self.settings(text, by_own_name)) is not None, warns, text)
        told = str(open_to_others(self.settings(anybody, True)))
        self.assertIn("reaches http://0.0.0.0:8081 may", told)


def with_file(key: str, path: Path) -> Settings:
    """Settings where a key names a file."""
    wanted: dict[str, Any] = {key: path}
    return Settings(**wanted)


class ExposureTests(SynchronousTestCase):
    """One warning for each thing that lets others read along."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name: str, mode: int) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("secret")
        path.chmod(mode)
        return path

    def test_plain_http_where_others_reach_it(self) -> None:
        for address, warns in (
            ("http://0.0.0.0:8080", True),
            ("http://models.example.org:8080", True),
            ("https://0.0.0.0:8443", False),
            ("http://127.0.0.1:8080", False),
            ("unix:/run/models", False),
        ):
            settings = Settings(inference_address=parse_address(address, 80, 443))
            told = [line for line in exposures(settings) if PLAIN in line]
            self.assertEqual(len(told), int(warns), address)
            for line in told:
                self.assertIn(address, line)

    def test_plain_grpc_where_others_reach_it(self) -> None:
        for text, warns in (
            ("grpc_inference_address=0.0.0.0", True),
            ("grpc_inference_address=0.0.0.0\nenable_grpc_ssl=true", False),
            ("grpc_inference_address=0.0.0.0\ngrpc_inference_port=-1", False),
            ("grpc_management_address=unix:/run/models", False),
        ):
            properties = dict(line.split("=", 1) for line in text.splitlines())
            told = [
                line for line in exposures(build_settings(properties, "torchserve", Path())) if PLAIN in line
            ]
            self.assertEqual(len(told), int(warns), text)
            for line in told:
                self.assertIn("grpc://0.0.0.0:7070", line)

    def test_both_addresses_are_in_one_warning(self) -> None:
        anywhere = [parse_address(f"http://0.0.0.0:{port}", 80, 443) for port in (8080, 8081)]
        settings = Settings(inference_address=anywhere[0], management_address=anywhere[1])
        (told,) = exposures(settings)
        self.assertIn("http://0.0.0.0:8080 or http://0.0.0.0:8081", told)

    def test_files_that_others_can_read(self) -> None:
        for key in SECRET_FILES:
            for mode, warns in ((0o600, False), (0o400, False), (0o640, True), (0o644, True), (0o604, True)):
                path = self.file(f"{key}-{mode:o}", mode)
                told = list(exposures(with_file(key, path)))
                self.assertEqual(len(told), int(warns), (key, mode))
                if warns:
                    self.assertIn(f"{key}: others on this machine can read {path} (mode {mode:04o})", told[0])

    def test_a_folder_of_keys_has_one_warning(self) -> None:
        for kind in ("inference", "management"):
            self.file(f"keys/{kind}", 0o644)
        (told,) = exposures(Settings(token_file=self.folder / "keys"))
        self.assertIn(str(self.folder / "keys" / "inference"), told)

    def test_files_that_are_not_there_are_told_elsewhere(self) -> None:
        self.assertEqual(list(exposures(Settings(token_file=self.folder / "none"))), [])
