"""What is remembered of the fields that calls begin with."""

from __future__ import annotations

from unittest import TestCase

from modelserver.rpc.interfaces import Call, RpcMethod
from modelserver.rpc.request_fields import MOST_KNOWN, KnownFields

PATH = b"/package.Service/Method"
CALL = (
    (b":method", b"POST"),
    (b":path", PATH),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
    (b"color", b"red"),
)


class _Method:
    name = PATH.decode()
    streams_in = False

    def begin(self, call: Call) -> None:
        """Nobody calls it here."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Nobody calls it here."""


class KnownFieldsTests(TestCase):
    """``KnownFields``."""

    def setUp(self) -> None:
        """One method, and whoever is asked for it is written down."""
        self.method: RpcMethod = _Method()
        self.asked: list[bytes] = []
        self.known = KnownFields(self._find, lambda method: True)

    def _find(self, path: bytes) -> RpcMethod | None:
        self.asked.append(path)
        return self.method if path == PATH else None

    def test_the_same_fields_are_read_once(self) -> None:
        """What they say is the same object, whichever bytes objects they come in."""
        first, wait = self.known[CALL]
        again = self.known[tuple((bytes(bytearray(name)), bytes(bytearray(value))) for name, value in CALL)]
        self.assertIs(first, again[0])
        self.assertEqual([PATH], self.asked)
        self.assertIs(self.method, first.method)
        self.assertTrue(first.is_plain)
        self.assertEqual(b"color: red\r\n", first.header_block)
        self.assertEqual(CALL, first.pairs)
        self.assertIsNone(wait)

    def test_the_order_of_fields_counts(self) -> None:
        """The last value of a name is known, and all go to the job in order."""
        one, _ = self.known[(*CALL, (b"color", b"blue"))]
        other, _ = self.known[(*CALL[:-1], (b"color", b"blue"), CALL[-1])]
        self.assertEqual([b"blue", b"red"], [each.known[b"color"] for each in (one, other)])
        self.assertEqual(b"color: blue\r\ncolor: red\r\n", other.header_block)

    def test_time_limits_come_and_go(self) -> None:
        """Calls with other limits share the rest, and a limit stays with its call."""
        plain, _ = self.known[CALL]
        for wait in (b"5S", b"4999m"):
            self.assertEqual((plain, wait), self.known[((b"grpc-timeout", wait), *CALL)])
        _, twice = self.known[(*CALL, (b"grpc-timeout", b"1S"), (b"grpc-timeout", b"2S"))]
        self.assertEqual(b"2S", twice)
        self.assertIsNone(self.known[CALL][1])
        self.assertEqual(1, len(self.known))

    def test_what_is_to_be_looked_at_is_not_remembered(self) -> None:
        """What may be refused is read each time."""
        odd = {
            "no such method": ((b":path", b"/nothing"),),
            "another verb": ((b":method", b"GET"),),
            "another type": ((b"content-type", b"text/html"),),
            "a coding": ((b"grpc-encoding", b"gzip"),),
            "many lines": tuple((b"n%d" % number, b"") for number in range(20)),
            "long values": ((b"long", b"x" * 4096),),
            "a long name": ((b"x" * 4096, b""),),
            "long values of one name": ((b"color", b"x" * 2048), (b"color", b"y" * 2048), (b"color", b"z")),
        }
        for name, more in odd.items():
            with self.subTest(name):
                self.assertFalse(self.known[(*CALL, *more)][0].is_plain)
        self.assertEqual({}, dict(self.known))

    def test_it_does_not_grow_without_end(self) -> None:
        """A client that sends other fields with each call costs no more memory than others."""
        for number in range(3 * MOST_KNOWN):
            self.known[(*CALL, (b"number", b"%d" % number))]
            self.assertLessEqual(len(self.known), MOST_KNOWN)
        self.assertTrue(self.known[CALL][0].is_plain)
