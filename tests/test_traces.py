"""What spans say of the server by the name that a client has for it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.traces import server_named


class ServerNamedTests(SynchronousTestCase):
    """Host and port are attributes of their own."""

    def test_names(self) -> None:
        for authority, address, port in (
            ("models.example:8080", "models.example", 8080),
            ("models.example", "models.example", None),
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("[::1]:8080", "::1", 8080),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
            ("name:port", "name:port", None),
            ("name:99999999", "name:99999999", None),
            (":80", "", 80),
            ("", "", None),
        ):
            told = server_named(authority)
            self.assertEqual((address, port), (told["server.address"], told.get("server.port")), authority)
