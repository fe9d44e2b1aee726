"""Requests that are not as gRPC has them: each has its answer, and others are not harmed."""

from __future__ import annotations

import gzip
import zlib

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.rpc.limits import RpcLimits
from tests.harness.http2_client import HEADERS, Answered, message
from tests.harness.rpc import RpcSite, RpcStage


class OddRequestTests(SynchronousTestCase):
    """One request each; then the connection serves another."""

    def setUp(self) -> None:
        self.stage = RpcStage(site=RpcSite(largest=10_000))
        self.client = self.stage.connect()

    def tearDown(self) -> None:
        """Whatever it was."""
        self.assertEqual(0, self.client.ask("Echo", b"after").status)
        self.assertEqual([], self.stage.site.failures)
        self.assertEqual({}, self.client.connection.reception.calls)

    def answer_to(self, body: bytes, method: str = "Echo", **more: object) -> Answered:
        """What comes back for these bytes."""
        stream = self.client.http2.request(method, body, **more)  # type: ignore[arg-type]  # as the client has them
        self.client.pump()
        return self.client.http2.answers[stream]

    def test_another_method_of_http(self) -> None:
        for name in (b"GET", b"PUT", b"OPTIONS"):
            headers = [(b":method", name), *HEADERS[1:]]
            self.assertEqual(b"405", self.answer_to(b"", headers=headers).head[b":status"])

    def test_another_content_type(self) -> None:
        for kind in (b"application/json", b"application/grpc-web", b"application/grpcx", b""):
            headers = [*HEADERS[:3], (b"content-type", kind), *HEADERS[4:]]
            self.assertEqual(b"415", self.answer_to(message(b""), headers=headers).head[b":status"])

    def test_content_types_that_are_grpcs(self) -> None:
        for kind in (b"application/grpc+proto", b"application/grpc;charset=utf-8", b"application/grpc+json"):
            headers = [*HEADERS[:3], (b"content-type", kind), *HEADERS[4:]]
            self.assertEqual(0, self.answer_to(message(b""), headers=headers).status)

    def test_a_body_that_ends_within_its_message(self) -> None:
        for body in (message(b"hello")[:-1], message(b"hello")[:3], message(b"a") + b"\0"):
            self.assertEqual(3, self.answer_to(body).status)

    def test_no_message_and_two_messages(self) -> None:
        self.assertEqual(3, self.answer_to(b"").status)
        self.assertEqual(3, self.answer_to(message(b"a") + message(b"b")).status)

    def test_flags_that_are_none(self) -> None:
        self.assertEqual(3, self.answer_to(message(b"a", flag=2)).status)

    def test_a_stream_that_ends_within_a_message(self) -> None:
        answer = self.answer_to(message(b"a") + message(b"b")[:4], "Talk")
        self.assertEqual(([b"a"], 3), (answer.messages, answer.status))

    def test_a_message_that_is_too_large_is_refused_by_its_length_alone(self) -> None:
        stream = self.client.http2.request("Echo")
        self.client.http2.data(stream, message(bytes(20_000))[:10])
        self.client.pump()
        answer = self.client.http2.answers[stream]
        self.assertEqual((8, 0), (answer.status, answer.reset))
        self.assertIn("max_request_size", answer.text)

    def test_the_largest_length_that_can_be_said(self) -> None:
        self.assertEqual(8, self.answer_to(b"\0\xff\xff\xff\xff" + bytes(100)).status)
        self.assertEqual(8, self.answer_to(b"\0\xff\xff\xff\xff" + bytes(100), "Talk").status)

    def test_compressed_messages(self) -> None:
        for coding, packed in ((b"gzip", gzip.compress(b"hello")), (b"deflate", zlib.compress(b"hello"))):
            answer = self.answer_to(message(packed, 1), more=[(b"grpc-encoding", coding)])
            self.assertEqual([b"hello"], answer.messages)
        answer = self.answer_to(message(b"plain"), more=[(b"grpc-encoding", b"gzip")])
        self.assertEqual([b"plain"], answer.messages, "each message says for itself")

    def test_compressed_messages_that_are_broken(self) -> None:
        packed = gzip.compress(b"hello" * 100)
        for data in (packed[:-4], packed + b"x", b"no gzip"):
            self.assertEqual(3, self.answer_to(message(data, 1), more=[(b"grpc-encoding", b"gzip")]).status)

    def test_a_compressed_message_that_is_too_large_when_unpacked(self) -> None:
        packed = gzip.compress(bytes(5_000_000))
        self.assertEqual(8, self.answer_to(message(packed, 1), more=[(b"grpc-encoding", b"gzip")]).status)

    def test_a_message_that_says_it_is_compressed_but_not_how(self) -> None:
        self.assertEqual(13, self.answer_to(message(b"a", 1)).status)

    def test_a_coding_that_is_not_known(self) -> None:
        answer = self.answer_to(message(b"a"), more=[(b"grpc-encoding", b"br")])
        self.assertEqual(12, answer.status)
        self.assertEqual(b"identity,gzip,deflate", answer.head[b"grpc-accept-encoding"])

    def test_metadata_over_the_limit_are_refused_call_by_call(self) -> None:
        many = [(b"x-%d" % number, b"a" * 50) for number in range(200)]
        for more in ([(b"x-a", b"a" * 17_000)], many):
            answer = self.answer_to(message(b"a"), more=more)
            self.assertEqual(8, answer.status)
        self.assertEqual(0, self.answer_to(message(b"a"), more=[(b"x-a", b"a" * 12_000)]).status)

    def test_metadata_that_should_be_base64(self) -> None:
        def read(call: object, body: object) -> None:
            call.reply(repr(call.metadata).encode())  # type: ignore[attr-defined]  # a call

        self.stage.site.keep.answers = read
        self.assertEqual(3, self.answer_to(message(b""), "Keep", more=[(b"a-bin", b"!!")]).status)

    def test_pseudo_fields_that_are_missing_or_twice(self) -> None:
        for headers in (HEADERS[1:], [HEADERS[0], *HEADERS], HEADERS[2:]):
            stream = self.client.http2.connection.get_next_available_stream_id()
            self.client.http2.connection.send_headers(
                stream, [(b":path", b"/test.Service/Keep"), *headers], end_stream=True
            )
            self.client.pump()
        self.assertEqual([], self.stage.site.keep.messages)

    def test_few_streams_at_once(self) -> None:
        self.client = RpcStage(limits=evolve(RpcLimits(), streams=2)).connect()
        self.assertEqual(2, self.client.http2.settings[3])
