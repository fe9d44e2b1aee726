"""A cluster is joined with a token alone."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.token_check import FILE, MODE, TOKEN, token_refusal

ADDRESS = "192.0.2.1:6379"


class TokenRefusalTests(SynchronousTestCase):
    """What the environment says of a token."""

    def test_no_token_is_refused_and_told_how_to_have_one(self) -> None:
        refusal = token_refusal(ADDRESS, {})
        self.assertIn(ADDRESS, refusal)
        self.assertIn("there is no token", refusal)
        self.assertIn(f"{MODE}=token", refusal)

    def test_token_in_the_environment_is_enough(self) -> None:
        self.assertEqual("", token_refusal(ADDRESS, {TOKEN: "abc"}))
        self.assertEqual("", token_refusal(ADDRESS, {MODE: "Token", TOKEN: "abc"}))

    def test_authentication_that_is_switched_off_is_refused(self) -> None:
        self.assertIn(f"{MODE} is disabled", token_refusal(ADDRESS, {MODE: "disabled", TOKEN: "abc"}))

    def test_token_may_be_in_a_file(self) -> None:
        with TemporaryDirectory() as folder:
            named = Path(folder) / "token"
            self.assertNotEqual("", token_refusal(ADDRESS, {FILE: str(named)}))
            named.write_text("abc")
            self.assertEqual("", token_refusal(ADDRESS, {FILE: str(named)}))
            usual = Path(folder) / ".ray" / "auth_token"
            usual.parent.mkdir()
            self.assertNotEqual("", token_refusal(ADDRESS, {"HOME": folder}))
            usual.write_text("abc")
            self.assertEqual("", token_refusal(ADDRESS, {"HOME": folder}))

    def test_cluster_of_its_own_needs_none_before(self) -> None:
        self.assertEqual("", token_refusal("local", {}))
