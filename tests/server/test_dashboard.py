"""Whether there is a dashboard, and the configuration that it shows."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.settings import Settings, build_settings
from modelserver.config.table import KEYS
from modelserver.server.dashboard import configuration_in_force, is_dashboard_served


class ServedTests(SynchronousTestCase):
    """Nobody elsewhere sees it without a token, unless the operator says so."""

    def served(self, address: str, has_tokens: bool, **properties: str) -> bool:
        values = {"management_address": address, **properties}
        return is_dashboard_served(build_settings(values, "torchserve", Path("/")), has_tokens)

    def test_on_loopback(self) -> None:
        for address in ("http://127.0.0.1:1", "http://localhost:1", "https://[::1]:1", "unix:/tmp/x"):
            self.assertTrue(self.served(address, False), address)
            self.assertFalse(self.served(address, False, enable_dashboard="false"), address)

    def test_elsewhere_only_with_tokens(self) -> None:
        for address in ("http://0.0.0.0:1", "http://192.0.2.1:1", "https://server.example:1"):
            self.assertFalse(self.served(address, False), address)
            self.assertTrue(self.served(address, True), address)
            self.assertTrue(self.served(address, False, enable_dashboard="true"), address)
            self.assertFalse(self.served(address, True, enable_dashboard="false"), address)


class ConfigurationTests(SynchronousTestCase):
    """Each value with what has set it."""

    def load(self, text: str, environ: dict[str, str] | None = None) -> Settings:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "config.properties").write_text(text)
        self.file = folder / "config.properties"
        options = CommandLine(
            properties={"netty_client_threads": "", "batch_size": "3"}, enable_model_api=True
        )
        return load_settings(options, environ or {}, folder, preset={"idle_timeout": "7"})[0]

    def rows(self, settings: Settings) -> dict[str, tuple[str, str]]:
        return {each.name: (each.value, each.origin) for each in configuration_in_force(settings)}

    def test_origins(self) -> None:
        settings = self.load(
            "job_queue_size=5\nkeystore_pass=geheim\nenable_envvars_config=true\nmy_word=geheim\nbatch_size=2\n",
            {"TS_MAX_REQUEST_SIZE": "77"},
        )
        rows = self.rows(settings)
        self.assertEqual(rows["job_queue_size"], ("5", str(self.file)))
        self.assertEqual(rows["enable_model_api"], ("true", "command line"))
        self.assertEqual(rows["max_request_size"], ("77", "environment"))
        self.assertEqual(rows["idle_timeout"], ("7", "preset of this command"))
        self.assertEqual(rows["header_timeout"], ("10", "default"))
        self.assertEqual(rows["keystore_pass"], ("(hidden)", str(self.file)))
        self.assertEqual(rows["my_word"], ("(hidden)", str(self.file)))
        self.assertNotIn("geheim", str(rows))

    def test_every_key_that_has_an_effect_is_shown(self) -> None:
        rows = self.rows(self.load(""))
        effective = {key.name for key in KEYS if key.status in ("implemented", "ours")}
        self.assertEqual(effective - set(rows), set())

    def test_the_default_password_is_hidden_too(self) -> None:
        self.assertEqual(self.rows(self.load(""))["keystore_pass"], ("(hidden)", "default"))
