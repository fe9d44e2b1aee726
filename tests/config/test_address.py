"""Binding addresses are read as the peers read them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.address import Address, parse_address, parse_interface

GOOD = (
    ("http://127.0.0.1:8080", Address("http", "127.0.0.1", 8080)),
    ("http://0.0.0.0", Address("http", "0.0.0.0", 80)),
    ("https://0.0.0.0", Address("https", "0.0.0.0", 443)),
    ("https://localhost:8443", Address("https", "localhost", 8443)),
    ("http://127.0.0.1:0", Address("http", "127.0.0.1", 0)),
    ("http://127.0.0.1:65535", Address("http", "127.0.0.1", 65535)),
    ("http://[::1]:8080", Address("http", "::1", 8080)),
    ("unix:/tmp/model.sock", Address("unix", unix_path="/tmp/model.sock")),
)

BAD = (
    ("127.0.0.1:8080", "Invalid binding address: 127.0.0.1:8080"),
    ("ftp://127.0.0.1:8080", "Invalid binding address: ftp://127.0.0.1:8080"),
    ("http://127.0.0.1:8080/", "Invalid binding address: http://127.0.0.1:8080/"),
    ("http://127.0.0.1:http", "Invalid binding address: http://127.0.0.1:http"),
    ("http://::1:8080", "Invalid binding address: http://::1:8080"),
    ("unix:relative", "Invalid binding address: unix:relative"),
    ("http://127.0.0.1:65536", "Invalid port number: http://127.0.0.1:65536"),
    ("http://127.0.0.1:999999999", "Invalid port number: http://127.0.0.1:999999999"),
)


class AddressTests(SynchronousTestCase):
    """An address is a scheme with a host and a port, or a socket's path."""

    def test_good_addresses(self) -> None:
        for text, expected in GOOD:
            self.assertEqual(parse_address(text, 80, 443), expected, text)

    def test_schemes_in_capitals(self) -> None:
        self.assertEqual(parse_address("HTTP://localhost", 80, 443), Address("http", "localhost", 80))
        self.assertEqual(parse_address("HttpS://localhost", 80, 443), Address("https", "localhost", 443))

    def test_bad_addresses_have_the_peers_texts(self) -> None:
        for text, expected in BAD:
            error = self.assertRaises(ValueError, parse_address, text, 80, 443)
            self.assertEqual(str(error), expected)

    def test_written_address_is_read_again(self) -> None:
        for text, address in GOOD:
            self.assertEqual(parse_address(str(address), 80, 443), address, text)

    def test_only_https_is_tls(self) -> None:
        self.assertEqual(
            [address.is_tls for address in (Address("http", "h"), Address("https", "h"), Address("unix"))],
            [False, True, False],
        )


class InterfaceTests(SynchronousTestCase):
    """The interface of a listener whose port has a key of its own."""

    def test_addresses_names_and_sockets(self) -> None:
        for text, expected in (
            ("0.0.0.0", Address("grpc", "0.0.0.0")),
            ("models.example.org", Address("grpc", "models.example.org")),
            ("::1", Address("grpc", "::1")),
            ("[::]", Address("grpc", "::")),
            ("unix:/tmp/g.sock", Address("unix", unix_path="/tmp/g.sock")),
        ):
            self.assertEqual(parse_interface(text), expected, text)

    def test_what_is_none_of_them(self) -> None:
        for text in ("http://127.0.0.1", "127.0.0.1:7070", "[::1]:7070", "a b", "unix:relative", "[]"):
            self.assertRaises(ValueError, parse_interface, text)

    def test_shown_with_its_scheme(self) -> None:
        self.assertEqual(str(Address("grpcs", "::1", 7070)), "grpcs://[::1]:7070")
        self.assertEqual(
            [Address("grpcs").is_tls, Address("grpc").is_tls, Address("unix").is_tls], [True, False, False]
        )
