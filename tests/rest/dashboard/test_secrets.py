"""What people are shown has no secrets in it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.rest.dashboard.secrets import is_secret, without_secrets


class SecretsTests(SynchronousTestCase):
    """Names of secrets, and secrets inside of URLs."""

    def test_names(self) -> None:
        for name in ("keystore_pass", "PASSWORD", "client_secret", "aws_credentials", "api_key"):
            self.assertTrue(is_secret(name), name)
        for name in ("token_file", "private_key_file", "job_queue_size", "max_bypasses", "load_models"):
            self.assertFalse(is_secret(name), name)

    def test_urls(self) -> None:
        for text, wanted in (
            ("https://user:word@a.example/m.mar", "https://(hidden)@a.example/m.mar"),
            ("a=https://h/x.mar?X-Amz-Signature=1&b=2,b=y.mar", "a=https://h/x.mar?(hidden),b=y.mar"),
            ("noop.mar", "noop.mar"),
            ("file:///models/a@b.mar", "file:///models/a@b.mar"),
            ("https://h/a?b#c", "https://h/a?(hidden)#c"),
        ):
            self.assertEqual(without_secrets(text), wanted)
