"""Predictions over gRPC with real clients: stubs of our descriptors, and of TorchServe's own files."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import TestCase, skipUnless

import pytest

from tests.harness.rpc_stubs import PEER, TorchServeApi, has_grpcio, own_api, peers_api
from tests.harness.server_process import HOST, LONGEST, ServerProcess, eventually

if has_grpcio():
    import grpc

pytestmark = pytest.mark.xdist_group("grpc-predictions")

OBEDIENT = '''
"""Does what its input says."""

import os
import time

from ts.protocol.otf_message_handler import send_intermediate_predict_response as send


def handle(data, context):
    if data is None:
        return None
    return [obey(row, place, context) for place, row in enumerate(data)]


def obey(row, place, context):
    word, _, rest = bytes(row.get("do", b"")).decode().partition(" ")
    if word == "raise":
        raise ValueError(rest)
    if word == "sleep":
        time.sleep(float(rest))
        return "slept"
    if word == "status":
        context.set_response_status(int(rest), "as asked", place)
        return "with status"
    if word == "header":
        context.set_response_header(place, "x-answer", rest)
        context.set_response_content_type(place, "text/x-test")
        return context.get_request_header(place, rest)
    if word == "parts":
        for number in range(int(rest) - 1):
            send([f"part {number}"], context.request_ids, "", 200, context)
        return "the last"
    if word == "die":
        os._exit(3)
    return {"got": sorted([key, type(value).__name__, bytes(value).decode()] for key, value in row.items())}
'''
ECHO = """
def handle(data, context):
    return None if data is None else [bytes(row["data"]) for row in data]
"""
SUMS = '''
"""Adds up the numbers of each sequence."""

sums = {}


def handle(data, context):
    if data is None:
        return None
    answers = []
    for place, row in enumerate(data):
        name, number = context.get_sequence_id(place), bytes(row["data"]).decode()
        if number == "fail":
            raise ValueError("on purpose")
        sums[name] = sums.get(name, 0) + int(number)
        answers.append(str(sums[name]))
    return answers
'''
SEQUENCES = (
    "sequenceBatching: true\nbatchSize: 1\nmaxNumSequence: 2\nsequenceMaxIdleMSec: 60000\n"
    "maxSequenceJobQueueSize: 8\n"
)
LARGEST = 8_000_000
CLASS = "\norg.pytorch.serve.archive.model.ModelNotFoundException"


@skipUnless(has_grpcio(), "grpcio is not installed")
class OwnStubTests(TestCase):
    """The messages and stubs are of our own descriptors."""

    maxDiff = None
    server: ClassVar[ServerProcess]
    api: ClassVar[TorchServeApi]

    @classmethod
    def make_api(cls) -> TorchServeApi:
        """The stubs."""
        return own_api()

    @classmethod
    def setUpClass(cls) -> None:
        """Start one server for all."""
        cls.api = cls.make_api()
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "default_workers_per_model": "1",
            "max_request_size": str(LARGEST),
            "max_response_size": str(LARGEST),
        }
        models = {"obedient": (OBEDIENT, ""), "echo": (ECHO, ""), "sums": (SUMS, SEQUENCES)}
        names = ",".join(f"{name}={name}.mar" for name in models)
        cls.server = server = ServerProcess(Path(folder.name), properties, ("--models", names), has_rpc=True)
        server.store.mkdir()
        for name, (source, config) in models.items():
            server.add_model(name, source, config)
        server.start()
        cls.addClassCleanup(server.end)
        for name in models:
            eventually(lambda name=name: server.ready(name))  # type: ignore[misc]  # it has defaults

    def setUp(self) -> None:
        limits = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.insecure_channel(f"{HOST}:{self.server.rpc_ports[0]}", options=limits)
        self.addCleanup(self.channel.close)
        self.stub = self.api.inference(self.channel)

    def ask(self, model: str, **inputs: bytes) -> bytes:
        """The prediction."""
        answer: bytes = self.stub.Predictions(self.api.request(model, **inputs), timeout=LONGEST).prediction
        return answer

    def refused(self, call: Callable[[], object], code: str) -> str:
        """The details of an error with this code."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error: Any = caught.exception
        self.assertEqual(error.code().name, code, error.details())
        return str(error.details())

    # Unary.

    def test_ping(self) -> None:
        health = self.stub.Ping(self.api.message("Empty")(), timeout=LONGEST).health
        self.assertEqual(health, '{\n  "status": "Healthy"\n}')

    def test_inputs_are_the_handlers_row(self) -> None:
        got = json.loads(self.ask("obedient", data=b"1", body=b"{}", **{"größe": b"3", "": b"4"}))["got"]
        self.assertEqual(
            got,
            [["", "bytearray", "4"], ["body", "bytearray", "{}"], ["data", "bytearray", "1"],
             ["größe", "bytearray", "3"]],
        )  # fmt: skip
        self.assertEqual(json.loads(self.ask("obedient")), {"got": []})

    def test_a_named_version(self) -> None:
        answer = self.stub.Predictions(self.api.request("echo", "1.0", data=b"x"), timeout=LONGEST)
        self.assertEqual(answer.prediction, b"x")

    def test_bodies_of_all_sizes(self) -> None:
        for size in (0, 1, 16_384, 65_535, 262_144, 1_000_003, 5_000_000):
            data = (bytes(range(251)) * (size // 251 + 1))[:size]
            self.assertEqual(self.ask("echo", data=data), data, size)

    def test_unknown_model_and_version(self) -> None:
        nope = self.refused(lambda: self.ask("nope"), "INTERNAL")
        self.assertEqual(nope, "Model not found: nope" + CLASS)
        request = self.api.request("echo", "9.9")
        version = self.refused(lambda: self.stub.Predictions(request, timeout=LONGEST), "INTERNAL")
        self.assertTrue(version.startswith("Model version: 9.9 does not exist for model: echo\n"), version)

    def test_no_model_name(self) -> None:
        told = self.refused(lambda: self.ask(""), "INTERNAL")
        self.assertTrue(told.startswith("Parameter model_name is required.\n"), told)

    def test_a_handler_that_raises(self) -> None:
        told = self.refused(lambda: self.ask("obedient", do=b"raise no"), "UNAVAILABLE")
        self.assertTrue(told.startswith("Prediction failed"), told)

    def test_a_handlers_status_is_ok_as_in_torchserve(self) -> None:
        self.assertEqual(self.ask("obedient", do=b"status 404"), b"with status")

    def test_metadata_reach_the_handler_and_its_headers_come_back(self) -> None:
        answer, call = self.stub.Predictions.with_call(
            self.api.request("obedient", do=b"header x-asked"), metadata=[("x-asked", "why")], timeout=LONGEST
        )
        self.assertEqual(answer.prediction, b"why")
        trailing = dict(call.trailing_metadata())
        self.assertEqual(trailing["x-answer"], "x-asked")
        self.assertIn("text/x-test", trailing.values())

    def test_every_call_has_an_id(self) -> None:
        ids = set()
        for _ in range(2):
            _, call = self.stub.Predictions.with_call(self.api.request("echo", data=b"x"), timeout=LONGEST)
            ids.add(dict([*call.initial_metadata(), *call.trailing_metadata()])["x-request-id"])
        self.assertEqual(len(ids), 2)

    def test_compressed_requests(self) -> None:
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            request = self.api.request("echo", data=b"a" * 100_000)
            answer = self.stub.Predictions(request, compression=compression, timeout=LONGEST)
            self.assertEqual(answer.prediction, b"a" * 100_000)

    def test_too_large_a_request_names_the_limit(self) -> None:
        told = self.refused(lambda: self.ask("echo", data=bytes(LARGEST)), "RESOURCE_EXHAUSTED")
        self.assertIn(f"{LARGEST}", told)
        self.assertEqual(self.ask("echo", data=b"next"), b"next")

    def test_large_messages_of_many_calls_of_which_some_are_given_up(self) -> None:
        bodies = [bytes([number]) * 300_000 + bytes(range(256)) * 1000 for number in range(24)]
        requests = [self.api.request("echo", data=body) for body in bodies]
        for leavers in (5, 24):  # none leaves where none has this place
            calls = [self.stub.Predictions.future(each, timeout=LONGEST) for each in requests]
            for call in calls[4::leavers]:
                call.cancel()
            for place, (call, body) in enumerate(zip(calls, bodies, strict=True)):
                if place not in range(4, 24, leavers):
                    self.assertEqual(call.result().prediction, body)
        self.assertEqual(self.ask("echo", data=b"next"), b"next")

    def test_a_deadline_ends_the_call_and_leaves_the_worker(self) -> None:
        pids = self.server.pids("obedient")
        request = self.api.request("obedient", do=b"sleep 0.5")
        self.refused(lambda: self.stub.Predictions(request, timeout=0.1), "DEADLINE_EXCEEDED")
        self.assertEqual(json.loads(self.ask("obedient")), {"got": []})
        self.assertEqual(self.server.pids("obedient"), pids)

    def test_a_cancelled_call_that_waits_never_reaches_the_handler(self) -> None:
        running = self.stub.Predictions.future(self.api.request("obedient", do=b"sleep 0.3"))
        waiting = self.stub.Predictions.future(self.api.request("obedient", do=b"die"))
        waiting.cancel()
        self.assertEqual(running.result(LONGEST).prediction, b"slept")
        self.assertEqual(json.loads(self.ask("obedient")), {"got": []})

    def test_an_unknown_method(self) -> None:
        call = self.channel.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Nothing")
        told = self.refused(lambda: call(b"", timeout=LONGEST), "UNIMPLEMENTED")
        self.assertIn("InferenceAPIsService/Nothing", told)

    def test_bytes_that_are_no_message(self) -> None:
        call = self.channel.unary_unary("/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions")
        self.refused(lambda: call(b"\xff\xff\xff", timeout=LONGEST), "INVALID_ARGUMENT")

    # Streams.

    def test_a_stream_of_parts(self) -> None:
        parts = self.stub.StreamPredictions(self.api.request("obedient", do=b"parts 4"), timeout=LONGEST)
        self.assertEqual([part.prediction for part in parts], [b"part 0", b"part 1", b"part 2", b"the last"])

    def test_parts_of_a_unary_call_are_joined(self) -> None:
        self.assertEqual(self.ask("obedient", do=b"parts 3"), b"part 0part 1the last")

    def test_a_stream_of_a_handler_that_does_not_stream(self) -> None:
        parts = list(self.stub.StreamPredictions(self.api.request("echo", data=b"one"), timeout=LONGEST))
        self.assertEqual([part.prediction for part in parts], [b"one"])

    def test_the_error_of_a_stream(self) -> None:
        request = self.api.request("obedient", do=b"raise no")
        self.refused(lambda: list(self.stub.StreamPredictions(request, timeout=LONGEST)), "UNAVAILABLE")
        request = self.api.request("nope")
        told = self.refused(lambda: list(self.stub.StreamPredictions(request, timeout=LONGEST)), "INTERNAL")
        self.assertEqual(told, "Model not found: nope" + CLASS)

    def test_a_stream_that_is_cancelled_leaves_the_worker(self) -> None:
        pids = self.server.pids("obedient")
        parts = self.stub.StreamPredictions(self.api.request("obedient", do=b"parts 1000"))
        self.assertEqual(next(parts).prediction, b"part 0")
        parts.cancel()
        self.assertEqual(json.loads(self.ask("obedient")), {"got": []})
        self.assertEqual(self.server.pids("obedient"), pids)

    # Sequences.

    def conversation(self) -> tuple[queue.Queue[Any], Any]:
        """What is sent (None ends it), and what comes back."""
        asked: queue.Queue[Any] = queue.Queue()
        answers = self.stub.StreamPredictions2(iter(asked.get, None), timeout=LONGEST)
        self.addCleanup(answers.cancel)
        self.addCleanup(asked.put, None)
        return asked, answers

    def test_sequences_on_one_stream(self) -> None:
        asked, answers = self.conversation()
        told = []
        for name, number in (("a", b"1"), ("b", b"10"), ("a", b"2"), ("b", b"20"), ("a", b"3")):
            asked.put(self.api.step("sums", f"{self.id()} {name}", number))
            told.append(next(answers).prediction)
        asked.put(None)
        self.assertEqual(told, [b"1", b"10", b"3", b"30", b"6"])
        self.assertEqual(list(answers), [])

    def test_answers_that_are_still_to_come_after_the_last_message(self) -> None:
        def messages() -> Iterator[Any]:
            for number in (b"1", b"2", b"3"):
                yield self.api.step("sums", self.id(), number)

        answers = self.stub.StreamPredictions2(messages(), timeout=LONGEST)
        self.assertEqual([answer.prediction for answer in answers], [b"1", b"3", b"6"])

    def test_an_error_is_a_message_and_the_stream_lives(self) -> None:
        asked, answers = self.conversation()
        for request, code, text in (
            (self.api.request("sums", data=b"1"), 13, "Parameter sequenceId is required."),
            (self.api.step("nope", "x", b"1"), 13, "Model not found: nope"),
            (self.api.step("sums", self.id(), b"fail"), 14, "Prediction failed"),
        ):
            asked.put(request)
            answer = next(answers)
            self.assertEqual((answer.status.code, answer.prediction), (code, b""), answer)
            self.assertTrue(answer.status.message.startswith(text), answer)
        asked.put(self.api.step("sums", self.id(), b"7"))
        self.assertEqual(next(answers).prediction, b"7")


@skipUnless(PEER, "MODELSERVER_PEER_TS is not set")
class PeersStubTests(OwnStubTests):
    """The same, with what protoc makes of TorchServe's files."""

    @classmethod
    def make_api(cls) -> TorchServeApi:
        """The stubs."""
        folder = TemporaryDirectory(prefix="modelserver-protos-")
        cls.addClassCleanup(folder.cleanup)
        return peers_api(Path(folder.name))
