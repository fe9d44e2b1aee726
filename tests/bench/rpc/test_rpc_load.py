"""The bench's gRPC messages, what it asks of h2load, and what it reads of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import TestCase, skipUnless

from bench.load import LoadFailed, Spent
from bench.rpc.cases import RPC_CASES
from bench.rpc.client import left_of, parse
from bench.rpc.http2 import Piece
from bench.rpc.load import OWN, PROGRAM, RpcLoad, choose, command, is_there, own_command, put, read, read_own
from bench.rpc.messages import answer, framed, prediction_of, request
from bench.rpc.servers import GrpcEcho, has_grpcio

PRINTED = """\
finished in 2.00s, 3000.50 req/s, 1.20MB/s
requests: 6003 total, 6019 started, 6001 done, 6000 succeeded, 1 failed, 1 errored, 0 timeout
status codes: 6000 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.15MB (1203406) total, 234.40KB (240021) headers (space savings 60.00%), {data} data
                     min         max         mean         sd        +/- sd
"""
LOG = "".join(f"{1000 + each}\t200\t{each}\n" for each in range(1, 101)) + "1\t500\t900000\n"


class MessageTests(TestCase):
    """Messages on the wire, byte for byte as protobuf writes them."""

    def test_request(self) -> None:
        self.assertEqual(request("noop", b"abc"), b"\n\x04noop\x1a\x0b\n\x04body\x12\x03abc")

    def test_long_fields_have_their_length_in_several_bytes(self) -> None:
        self.assertEqual(answer(bytes(300))[:3], b"\n\xac\x02")

    def test_prediction(self) -> None:
        for text in (b"", b"OK", bytes(300)):
            self.assertEqual(prediction_of(answer(text)), text)
        for other in (b"\n\x03ab", b"\x12\x02ab", b"\n\x82", answer(b"ab") + b"x"):
            self.assertRaises(ValueError, prediction_of, other)

    def test_frame(self) -> None:
        self.assertEqual(framed(b"ab"), b"\0\0\0\0\2ab")

    def test_an_echo_is_expected_whole(self) -> None:
        case = next(each for each in RPC_CASES if each.name == "echo100k")
        self.assertEqual((case.method, case.answer_bytes), ("Predictions", 100_000 + 4 + 5))

    def test_a_stream_is_expected_part_by_part(self) -> None:
        case = next(each for each in RPC_CASES if each.name == "parts")
        self.assertEqual((case.method, len(case.expected())), ("StreamPredictions", 100))
        self.assertEqual(case.answer_bytes, 100 * (100 + 2 + 5))


class LoadTests(TestCase):
    """Around h2load."""

    load = RpcLoad(7070, "Predictions", Path("/body"), 16, 2, 9)

    def test_command(self) -> None:
        line = command(self.load, Path("/log"))
        self.assertEqual(line[:7], ["h2load", "-t1", "-c1", "-m16", "-D2", "-d", "/body"])
        self.assertIn("content-type: application/grpc", line)
        self.assertTrue(
            line[-1].endswith(":7070/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions")
        )

    def test_figures(self) -> None:
        found = read(PRINTED.format(data="52.73KB (54000)"), LOG, self.load, Spent(3.0, 0.5, 1.25))
        self.assertEqual(
            (found.rate, found.requests, found.errors, found.first_error), (3000.0, 6000, 1, "status")
        )
        self.assertEqual((found.p50, found.p99), (51e-6, 100e-6))
        self.assertEqual((found.client_cpu, found.load, found.client), (0.25, 1.25, "h2load"))
        self.assertAlmostEqual(found.cpu, 3.0 / 6001)

    def test_answers_that_are_too_short_are_no_answers(self) -> None:
        """h2load does not read the status of a call: an error has no message."""
        found = read(PRINTED.format(data="52.73KB (53999)"), LOG, self.load, Spent(3.0, 0.5, 1.25))
        self.assertEqual((found.rate, found.requests, found.first_error), (0.0, 0, "answers are too short"))

    def test_other_words(self) -> None:
        self.assertRaises(LoadFailed, read, "no such option", "", self.load, Spent(0, 0, 0))


class OwnClientTests(TestCase):
    """Around the light client."""

    def test_it_is_for_large_bodies(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for size, client in ((100, PROGRAM), (100_000, OWN)):
                body = Path(folder) / str(size)
                body.write_bytes(bytes(size))
                load = RpcLoad(7070, "Predictions", body, 16, 2, 9)
                self.assertEqual(choose(load, "auto"), client)
                self.assertEqual([choose(load, each) for each in (PROGRAM, OWN)], [PROGRAM, OWN])

    def test_command(self) -> None:
        options = parse(own_command(LoadTests.load)[3:])
        self.assertEqual((options.port, options.method, options.body), (7070, "Predictions", "/body"))
        self.assertEqual((options.in_flight, options.seconds, options.length), (16, 2.0, 9))

    def test_figures(self) -> None:
        printed = (
            '{"requests": 30, "seconds": 2.0, "p50": 0.25, "p99": 0.5, "errors": {"reset": 2}, "cpu": 0.5}'
        )
        found = read_own(printed, Spent(3.2, 9.0, 1.25))
        self.assertEqual((found.rate, found.requests, found.errors, found.first_error), (15, 30, 2, "reset"))
        self.assertEqual((found.p50, found.p99, found.client_cpu, found.client), (0.25, 0.5, 0.25, OWN))
        self.assertAlmostEqual(found.cpu, 0.1)

    def test_other_words(self) -> None:
        for printed in ("", "[]", '{"requests": 1}'):
            self.assertRaises(LoadFailed, read_own, printed, Spent(0, 0, 0))

    def test_pieces_of_which_some_were_sent(self) -> None:
        pieces: list[Piece] = [b"abc", memoryview(b"de"), b"f"]
        for sent in range(7):
            self.assertEqual(b"".join(left_of(pieces, sent)), b"abcdef"[sent:])


@skipUnless(has_grpcio(), "grpcio is not installed")
class EchoTests(TestCase):
    """The bare grpc.aio server answers every case right."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.target = GrpcEcho("grpc.aio", self.folder / "echo")
        self.target.start()
        self.addCleanup(self.target.stop)

    def test_answers(self) -> None:
        from bench.rpc.checker import check  # which needs grpcio

        for case in RPC_CASES:
            self.assertEqual(check(self.target.rpc_port, case, 2), (2, ""), case.name)

    @skipUnless(is_there(), "h2load is not installed")
    def test_figures_of_a_real_run(self) -> None:
        case = RPC_CASES[0]
        body = self.folder / "call"
        body.write_bytes(framed(request(case.name, case.input())))
        load = RpcLoad(self.target.rpc_port, case.method, body, 4, 1, case.answer_bytes)
        found = put(load, self.target.tree)
        self.assertEqual((found.errors, found.first_error), (0, ""))
        self.assertGreater(found.requests, 0)

    def test_figures_of_the_light_client(self) -> None:
        for case in RPC_CASES:
            body = self.folder / case.name
            body.write_bytes(framed(request(case.name, case.input())))
            load = RpcLoad(self.target.rpc_port, case.method, body, 4, 1, case.answer_bytes)
            found = put(load, self.target.tree, OWN)
            self.assertEqual((found.errors, found.first_error), (0, ""), case.name)
            self.assertGreater(found.requests, 0)

    def test_other_answers_are_errors_of_the_light_client(self) -> None:
        case = RPC_CASES[0]
        body = self.folder / "call"
        body.write_bytes(framed(request(case.name, case.input())))
        for method, length, error in (
            (case.method, case.answer_bytes + 1, f"length {case.answer_bytes}"),
            ("Other", case.answer_bytes, "grpc-status 12"),
        ):
            load = RpcLoad(self.target.rpc_port, method, body, 4, 1, length)
            found = put(load, self.target.tree, OWN)
            self.assertEqual((found.requests, found.first_error), (0, error))
