"""Which headers let a request change a server that asks for no tokens."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import PageRefused
from modelserver.security.page_guard import PageGuard

OWN = b"127.0.0.1:8081"
PASS: tuple[tuple[bytes | None, tuple[bytes, ...], tuple[bytes, ...]], ...] = (
    (OWN, (), ()),
    (None, (), ()),
    (b"localhost:8081", (), ()),
    (b"LOCALHOST.", (), ()),
    (b"10.1.2.3", (), ()),
    (b"127.1:8081", (), ()),
    (b"[::1]:8081", (), ()),
    (b"[fe80::1%25eth0]", (), ()),
    (b"models.example.org", (), ()),
    (b"Models.Example.Org:9081", (), ()),
    (b"ui.example.org:3000", (), ()),
    (b"models.internal:8081", (b"http://models.internal:8081",), (b"same-origin",)),
    (OWN, (b"http://127.0.0.1:8081",), (b"same-origin",)),
    (OWN, (), (b"none",)),
    (b"localhost", (b"https://localhost",), ()),
    (OWN, (b"https://models.example.org",), (b"cross-site",)),
    (OWN, (b"https://models.example.org:444",), ()),
    (OWN, (b"http://ui.example.org:3000",), (b"same-site",)),
)
"""Host, Origin and Sec-Fetch-Site."""
REFUSED: tuple[tuple[bytes | None, tuple[bytes, ...], tuple[bytes, ...], str], ...] = (
    (b"evil.example", (), (), "evil.example"),
    (b"evil.example:8081", (b"http://evil.example:8081",), (b"same-origin",), "evil.example"),
    (b"localhost.evil.example", (), (), "localhost.evil.example"),
    (b"127.0.0.1.evil.example", (), (), "127.0.0.1.evil.example"),
    (b"models.example.org.evil.example", (), (), "models.example.org.evil.example"),
    (b"ui.example.org:8081", (), (), "ui.example.org"),
    (b"[evil]", (), (), "[evil]"),
    (b"", (), (), ""),
    (b"\xff", (), (), "\ufffd"),
    (OWN, (b"http://evil.example",), (), "evil.example"),
    (OWN, (b"http://evil.example",), (b"same-origin",), "evil.example"),
    (OWN, (b"http://127.0.0.1:3000",), (), "127.0.0.1:3000"),
    (OWN, (b"http://localhost:8081",), (), "localhost:8081"),
    (OWN, (b"http://127.0.0.1:3000",), (b"same-site",), "127.0.0.1:3000"),
    (b"models.internal:8081", (b"http://models.internal",), (), "models.internal"),
    (OWN, (b"http://127.0.0.1:8081", b"http://evil.example"), (), "evil.example"),
    (OWN, (b"http://evil.example", b"http://127.0.0.1:8081"), (), "evil.example"),
    (OWN, (b"null",), (), ""),
    (OWN, (b"",), (), ""),
    (OWN, (b"file://",), (), ""),
    (OWN, (b"chrome-extension://127.0.0.1:8081",), (), ""),
    (OWN, (b"http://ui.example.org:3001",), (), "ui.example.org:3001"),
    (OWN, (), (b"cross-site",), ""),
    (OWN, (), (b"same-site",), ""),
    (OWN, (), (b"a new word",), ""),
    (OWN, (b"http://127.0.0.1:8081",), (b"cross-site",), ""),
)
"""The same, and what would have to be allowed."""


class PageGuardTests(SynchronousTestCase):
    """A guard of a server where two hosts are allowed, one of them at one port."""

    def setUp(self) -> None:
        self.refused: list[PageRefused] = []
        allowed = ("models.example.org", "ui.example.org:3000")
        names = ("127.0.0.1", "models.internal")
        self.guard = PageGuard(allowed, on_refused=self.refused.append, names=names)

    def test_programs_and_own_pages_pass(self) -> None:
        for host, origins, sites in PASS:
            with self.subTest(host=host, origins=origins, sites=sites):
                self.guard.check(host, origins, sites)
        self.assertEqual(self.refused, [])

    def test_other_pages_do_not_and_are_told_what_would_help(self) -> None:
        for host, origins, sites, name in REFUSED:
            with self.subTest(host=host, origins=origins, sites=sites):
                error = self.assertRaises(PageRefused, self.guard.check, host, origins, sites)
                self.assertEqual(error.name, name)
                self.assertIn("allowed_hosts", str(error))
                self.assertIs(self.refused[-1], error)

    def test_no_name_leads_to_a_unix_socket(self) -> None:
        guard = PageGuard(checks_host=False)
        guard.check(b"whatever")
        guard.check(b"models.example.org", (b"https://models.example.org",))
        self.assertRaises(PageRefused, guard.check, b"localhost", (b"https://evil.example",))

    def test_what_is_told_has_no_control_characters_and_is_short(self) -> None:
        error = self.assertRaises(PageRefused, self.guard.check, b"evil\x1b[31m" + b"x" * 5000)
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 500)
