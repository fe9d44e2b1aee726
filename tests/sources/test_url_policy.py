"""Which URLs and addresses are allowed."""

from __future__ import annotations

from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ArchiveNotFound, UrlInvalid
from modelserver.sources.address_policy import is_open
from modelserver.sources.url_policy import UrlPolicy
from modelserver.sources.urls import NormalUrl

OPEN = [
    *("1.1.1.1", "8.8.8.8", "10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1"),
    *("2606:4700::1111", "fd12:3456::1", "2002:0808:0808::1", "64:ff9b::808:808", "::ffff:10.0.0.1"),
]
REFUSED = [
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192", "::", "::1", "fe80::1", "fec0::1", "ff02::1", "fd00:ec2::254"),
    *("fd20:ce::254", "100::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("2002:7f00:1::", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::7f00:1", "2001:0:7f00:1::", "2001:0:808:808::80ff:fffe"),
]
REFUSED_URLS = [
    *("http://localhost/x", "http://LOCALHOST./x", "http://a.localhost/x", "http://127.0.0.1:8081/x"),
    *("http://2130706433/x", "http://0x7f.1/x", "http://0177.1/x", "http://[::1]/x", "http://0/x"),
    *("http://[::ffff:7f00:1]/x", "http://[::ffff:169.254.169.254]/x", "http://169.254.169.254/x"),
    *("http://[fd00:ec2::254]/x", "http://[2002:7f00:1::]/x", "http://[64:ff9b::127.0.0.1]/x"),
    *(
        "http://\uff11\uff12\uff17.\uff11/x",
        "https://user@models.example.com/x",
        "ftp://h/x",
        "s3://bucket/x",
    ),
    *("javascript://h/x", "http://h\\x", "file://h/x", "http://"),
]


class AddressTests(SynchronousTestCase):
    """Public and private-network addresses are open, those of the host itself and its link are not."""

    def test_open(self) -> None:
        for address in OPEN:
            self.assertTrue(is_open(ip_address(address)), address)

    def test_refused(self) -> None:
        for address in REFUSED:
            self.assertFalse(is_open(ip_address(address)), address)


class DefaultPolicyTests(SynchronousTestCase):
    """Without patterns."""

    def test_public_private_and_named_hosts_are_allowed(self) -> None:
        policy = UrlPolicy.parse(None)
        self.assertTrue(policy.is_default)
        for url in ("http://h/x", "https://8.8.8.8/x", "http://10.0.0.1:9000/x", "file:///store/x"):
            self.assertEqual(str(policy.check(url)), url)

    def test_others_are_refused_in_every_notation(self) -> None:
        for url in REFUSED_URLS:
            with self.subTest(url=url):
                error = self.assertRaises(ArchiveNotFound, UrlPolicy().check, url)
                if not isinstance(error, UrlInvalid):
                    self.assertEqual(str(error), f"Given URL {url} does not match any allowed URL(s)")

    def test_malformed_urls_are_told_apart(self) -> None:
        for url in ("http://h:x/x.mar", "http://h:70000/x.mar", "http:///x.mar", "http://u@h/x.mar"):
            error = self.assertRaises(UrlInvalid, UrlPolicy().check, url)
            self.assertEqual(str(error), f"Invalid model url: {url}")

    def test_only_open_addresses_are_allowed(self) -> None:
        self.assertTrue(UrlPolicy().allows_address(ip_address("10.0.0.1")))
        self.assertFalse(UrlPolicy().allows_address(ip_address("127.0.0.1")))


class PatternTests(SynchronousTestCase):
    """With the operator's patterns."""

    def test_one_pattern_must_match_all_of_it(self) -> None:
        policy = UrlPolicy.parse("https://s3.amazonaws.com/.*, https://models.example.com/[a-z]+\\.mar")
        self.assertFalse(policy.is_default)
        for url in ("https://s3.amazonaws.com/b/x.mar", "https://models.example.com/noop.mar"):
            policy.check(url)
        for url in (
            "https://models.example.com/noop.mar2",
            "https://models.example.com/noop.mar?x",
            "http://s3.amazonaws.com/b/x.mar",
            "https://s3.amazonaws.com.evil.example/b/x.mar",
            "https://s3.amazonaws.com@evil.example/b/x.mar",
            "https://s3.amazonaws.com\\@evil.example/b/x.mar",
            "file:///store/x.mar",
        ):
            self.assertRaises(ArchiveNotFound, policy.check, url)

    def test_patterns_ignore_case_and_meet_the_normal_form(self) -> None:
        policy = UrlPolicy.parse("HTTP://models\\.example\\.com/public/.*")
        normal = policy.check("http://MODELS.example.com:80/public/X.mar")
        self.assertEqual(str(normal), "http://models.example.com/public/X.mar")
        self.assertRaises(ArchiveNotFound, policy.check, "http://models.example.com/public/../secret.mar")
        self.assertRaises(ArchiveNotFound, policy.check, "http://models.example.com/public/%2e%2e/x.mar")

    def test_a_match_allows_every_address(self) -> None:
        policy = UrlPolicy.parse("http://127\\.0\\.0\\.1:\\d+/.*")
        policy.check("http://2130706433:8000/x.mar")
        self.assertTrue(policy.allows_address(ip_address("127.0.0.1")))
        self.assertRaises(ArchiveNotFound, policy.check, "http://127.0.0.2:8000/x.mar")

    def test_default_of_torchserve_allows_everything_of_its_schemes(self) -> None:
        policy = UrlPolicy.parse("file://.*|http(s)?://.*")
        for url in ("file:///x.mar", "http://127.0.0.1/x.mar", "https://[::1]/x.mar"):
            policy.check(url)
        self.assertRaises(ArchiveNotFound, policy.check, "ftp://h/x.mar")

    def test_an_empty_setting_allows_nothing(self) -> None:
        self.assertRaises(ArchiveNotFound, UrlPolicy.parse("").check, "http://h/x.mar")

    def test_a_broken_pattern_is_told(self) -> None:
        self.assertRaises(ValueError, UrlPolicy.parse, "http://(.*")


class RedirectTests(SynchronousTestCase):
    """A redirect is checked as if its target were new."""

    def setUp(self) -> None:
        self.url = NormalUrl.parse("https://h/a/x.mar")

    def test_redirects_to_allowed_urls(self) -> None:
        normal = UrlPolicy().check_redirect(self.url, "../y.mar")
        self.assertEqual(str(normal), "https://h/y.mar")

    def test_redirects_elsewhere_are_refused(self) -> None:
        everything = UrlPolicy.parse("file://.*|http(s)?://.*")
        for policy, location in [
            (UrlPolicy(), "http://127.0.0.1/"),
            (UrlPolicy(), "//localhost/x"),
            (UrlPolicy(), "file:///etc/passwd"),
            (everything, "file:///etc/passwd"),
            (everything, "gopher://h/x"),
            (everything, "http://h\\@i/x"),
            (UrlPolicy.parse("https://h/.*"), "https://i/x.mar"),
        ]:
            with self.subTest(location=location):
                self.assertRaises(ArchiveNotFound, policy.check_redirect, self.url, location)
