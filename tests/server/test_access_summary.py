"""The line that says who may do what."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.settings import Settings
from modelserver.server.access_summary import access_line, open_to_others
from modelserver.tap import PRESETS

BY_ITS_OWN_NAME = PRESETS[""]
OFF = "tokens are not asked for"
ON = "tokens are asked for"
CAN = "models can be registered and unregistered over HTTP"
CANNOT = "models cannot be registered and unregistered over HTTP"


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
            ("", False, f"{ON} ({default[0]}); {CANNOT} ({default[1]})"),
            (f"{tokens}=false", True, f"{ON} (configured, {tokens}=false); {CAN} ({preset[1]})"),
            (f"{control}=false", True, f"{OFF} ({preset[0]}); {CANNOT} (configured, {control}=false)"),
            (
                f"{tokens}=true",
                False,
                f"{OFF} (configured, {tokens}=true); {CANNOT} (default, {control}=false)",
            ),
        ):
            self.assertEqual(access_line(self.settings(text, by_own_name)), f"Access: {wanted}.", text)

    def test_multi_model_server_has_no_tokens_by_default(self) -> None:
        line = access_line(self.settings("", False, "mms"))
        self.assertIn(f"{OFF} (default, disable_token_authorization=true)", line)

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
