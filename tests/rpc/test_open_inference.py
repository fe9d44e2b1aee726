"""The Open Inference Protocol: questions about models, and requests with tensors."""

from __future__ import annotations

from typing import Any

from modelserver import __version__
from modelserver.child.data.infer_request import InferDocument
from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer
from modelserver.metrics.figures import Figures, VersionFigures
from modelserver.protocol.frames import EXPLAIN, INFER
from modelserver.rpc.codes import Code
from modelserver.rpc.methods import OPEN_INFERENCE
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc_messages import messages, type_of
from tests.harness.rpc_services import OIP, RpcCase

MODEL = "org.pytorch.serve.archive.model"
HTTP = "org.pytorch.serve.http.InternalServerException"


def infer(name: str = "m", version: str = "", id: str = "7", **parameters: object) -> Any:
    """A ModelInferRequest."""
    request = type_of("oip.ModelInferRequest")(model_name=name, model_version=version, id=id)
    request.inputs.add(name="a", datatype="INT32", shape=[2]).contents.int_contents.extend([1, 2])
    for key, value in parameters.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(request.parameters[key], kind, value)
    return request


def response(id: str = "7") -> bytes:
    """What a worker makes of a handler's answer."""
    data: bytes = type_of("oip.ModelInferResponse")(model_name="m", id=id).SerializeToString()
    return data


class QuestionTests(RpcCase):
    """What clients ask first."""

    def ask(self, method: str, **fields: Any) -> MemoryCall:
        """Make a call of a method."""
        return self.call(f"{OIP}/{method}", type_of(f"oip.{method}Request")(**fields))

    def test_both_names_of_the_service_answer_alike(self) -> None:
        self.serve()
        for service in OPEN_INFERENCE:
            package = service.rpartition(".")[0]
            for method, field in (("ServerLive", "live"), ("ServerReady", "ready"), ("ModelReady", "ready")):
                asked = messages().type_of(f"{package}.{method}Request")()
                if method == "ModelReady":
                    asked.name = "m"
                call = self.call(f"{service}/{method}", asked)
                (message,) = call.messages
                found = messages().type_of(f"{package}.{method}Response").FromString(message)
                with self.subTest(service, method=method):
                    self.assertTrue(getattr(found, field))

    def test_configuration_and_statistics(self) -> None:
        tensor = {"name": "x", "datatype": "INT64", "shape": [-1, 2]}
        self.serve("m", config={"inputs": [tensor]})
        self.figures = Figures(versions={("m", "1.0"): VersionFigures(requests=(4,), handled={2: (2, 0.5)})})
        config = self.answer(self.ask("ModelConfig", name="m"), "oip.ModelConfigResponse").config
        self.assertEqual((config.name, config.instance_group[0].count), ("m", 1))
        self.assertEqual((config.input[0].name, config.input[0].data_type), ("x", 9))
        self.assertEqual(list(config.input[0].dims), [-1, 2])
        (told,) = self.answer(self.ask("ModelStatistics"), "oip.ModelStatisticsResponse").model_stats
        self.assertEqual((told.inference_count, told.execution_count), (4, 2))
        self.assertEqual(told.batch_stats[0].compute_infer.ns, 500_000_000)

    def test_server_that_stops_is_not_ready(self) -> None:
        self.is_stopping = True
        self.assertTrue(self.answer(self.ask("ServerLive"), "oip.ServerLiveResponse").live)
        self.assertFalse(self.answer(self.ask("ServerReady"), "oip.ServerReadyResponse").ready)

    def test_model_is_ready_with_a_worker(self) -> None:
        self.serve()
        self.serve("idle", workers=0)
        for name, version, ready in (("m", "", True), ("m", "1.0", True), ("idle", "", False)):
            found = self.answer(self.ask("ModelReady", name=name, version=version), "oip.ModelReadyResponse")
            self.assertEqual(found.ready, ready)

    def test_refusals(self) -> None:
        self.serve()
        rows: list[tuple[str, dict[str, str], str, str, str]] = [
            ("ModelReady", {}, "INTERNAL", "Parameter name is required.", "BadRequestException.()"),
            ("ModelMetadata", {}, "INTERNAL", "Parameter model_name is required.", "BadRequestException.()"),
            ("ModelConfig", {}, "INTERNAL", "Parameter model_name is required.", "BadRequestException.()"),
        ]
        for name in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"):
            no_model = f"{MODEL}.ModelNotFoundException"
            no_version = f"{MODEL}.ModelVersionNotFoundException"
            text = "Model version: 9.9 does not exist for model: m"
            rows += [
                (name, {"name": "zz"}, "NOT_FOUND", "Model not found: zz", no_model),
                (name, {"name": "m", "version": "9.9"}, "NOT_FOUND", text, no_version),
            ]
        for method, fields, code, text, second in rows:
            with self.subTest(method, **fields):
                self.assertEqual(self.told(self.ask(method, **fields)), (code, [text, second]))

    def test_server_metadata(self) -> None:
        found = self.answer(self.ask("ServerMetadata"), "oip.ServerMetadataResponse")
        self.assertEqual((found.name, found.version), ("Torchserve", __version__))
        self.assertIn("binary_tensor_data", found.extensions)

    def test_model_metadata(self) -> None:
        tensors = [
            {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "y", "datatype": "BYTES", "shape": "odd"},
            "no tensor",
        ]
        self.serve(config={"inputs": tensors, "outputs": [{"name": "z"}]})
        self.serve(version="2.0")
        found = self.answer(self.ask("ModelMetadata", name="m"), "oip.ModelMetadataResponse")
        self.assertEqual((found.name, list(found.versions), found.platform), ("m", ["1.0", "2.0"], "pytorch"))
        self.assertEqual(
            [(each.name, each.datatype, list(each.shape)) for each in found.inputs],
            [("x", "FP32", [-1, 3]), ("y", "BYTES", [])],
        )
        self.assertEqual([each.name for each in found.outputs], ["z"])


class InferTests(RpcCase):
    """ModelInfer."""

    def test_message_goes_to_the_worker_and_its_answer_to_the_client(self) -> None:
        self.serve()
        for service in OPEN_INFERENCE:
            call = self.call(f"{service}/ModelInfer", infer(), metadata=(("explain", "true"),))
            job = self.job.request
            self.assertEqual(job.flags, INFER | EXPLAIN)
            self.assertEqual(InferDocument(bytes(job.body))["id"], "7")  # type: ignore[arg-type]  # it is no slot
            self.worker.answer(Answer(200, b"", response()))
            self.assertEqual(call.messages, [response()])
            self.assertEqual(self.told(call)[0], "OK")

    def test_refusals(self) -> None:
        self.serve()
        self.serve("idle", workers=0)
        for asked, code, text in (
            (infer(""), "INTERNAL", "Parameter model_name is required."),
            (infer("zz"), "INTERNAL", "Model not found: zz"),
            (infer("m", "9.9"), "INTERNAL", "Model version: 9.9 does not exist for model: m"),
            (b"\x0a\x05m", "INVALID_ARGUMENT", None),
            (b"\x0a\x01m\x22\x05\x12\x04\x08", "INVALID_ARGUMENT", None),
        ):
            with self.subTest(asked):
                found, lines = self.told(self.call(f"{OIP}/ModelInfer", asked))
                self.assertEqual((found, text in (None, lines[0])), (code, True))
        found, lines = self.told(self.call(f"{OIP}/ModelInfer", infer("idle")))
        self.assertEqual((found, lines[1]), ("INTERNAL", "InternalServerException.()"))

    def test_error_of_the_handler(self) -> None:
        self.serve()
        for error, code in (
            (PredictionFailed(503, "no"), "UNAVAILABLE"),
            (PredictionFailed(200, "no"), "UNKNOWN"),
        ):
            call = self.call(f"{OIP}/ModelInfer", infer())
            self.worker.answer(error)
            self.assertEqual(self.told(call), (code, ["no", HTTP]))

    def test_parts_of_a_streaming_handler_are_one_response(self) -> None:
        self.serve()
        call = self.call(f"{OIP}/ModelInfer", infer())
        for name in ("a", "b"):
            part = type_of("oip.ModelInferResponse")(model_name="m")
            part.outputs.add(name=name)
            self.worker.send_part(part.SerializeToString())
        self.worker.answer(Answer(200, b"", response()))
        found = self.answer(call, "oip.ModelInferResponse")
        self.assertEqual(([each.name for each in found.outputs], found.id), (["a", "b"], "7"))

    def test_client_that_leaves(self) -> None:
        version = self.serve(batch_size=1)
        first, second = (self.call(f"{OIP}/ModelInfer", infer()) for _ in range(2))
        second.cancel()
        first.cancel(Code.DEADLINE_EXCEEDED)
        self.assertEqual(version.queue.waiting, 0)

    def test_sequences_by_parameters(self) -> None:
        self.serve(stateful=True, sequence_max_idle=60.0, max_sequences=1)
        rows: tuple[tuple[int | str, dict[str, Any], list[bytes]], ...] = (
            (5, {"sequence_start": True}, [b"ts_request_sequence_id: 5", b"ts_request_sequence_start: true"]),
            (5, {}, [b"ts_request_sequence_id: 5"]),
            (5, {"sequence_end": True}, [b"ts_request_sequence_id: 5", b"ts_request_sequence_end: true"]),
            ("s", {}, [b"ts_request_sequence_id: s"]),
        )
        for sequence, more, lines in rows:
            self.call(f"{OIP}/ModelInfer", infer(sequence_id=sequence, **more))
            self.assertEqual(self.job.request.header_block.split(b"\r\n")[:-1], lines)
            self.worker.answer(Answer(200, b"", response()))
            self.stage.turn()


class StreamTests(RpcCase):
    """ModelStreamInfer."""

    def ask(self, *requests: Any, ends: bool = False) -> MemoryCall:
        """Begin a call."""
        return self.call(f"{OIP}/ModelStreamInfer", *requests, ends=ends)

    def found(self, call: MemoryCall) -> list[tuple[str, str]]:
        """The ids of answers, and what errors say."""
        return [
            (each.infer_response.id, each.error_message)
            for each in self.answers(call, "oip.ModelStreamInferResponse")
        ]

    def test_each_request_is_answered_and_the_call_ends_behind_the_last(self) -> None:
        self.serve()
        call = self.ask(infer(id="1"), infer(id="2"), ends=True)
        self.worker.answer(Answer(200, b"", response("1")))
        self.assertIsNone(call.status)
        self.stage.turn()
        self.worker.answer(Answer(200, b"", response("2")))
        self.assertEqual(self.found(call), [("1", ""), ("2", "")])
        self.assertEqual(self.told(call)[0], "OK")

    def test_error_is_a_message_with_the_requests_id(self) -> None:
        self.serve()
        call = self.ask(infer("zz", id="1"), infer(id="2"))
        self.worker.answer(PredictionFailed(503, "Prediction failed"))
        self.stage.turn()
        self.send(call, infer(id="3"))
        self.worker.answer(Answer(200, b"", response("3")))
        self.assertEqual(
            self.found(call), [("1", "Model not found: zz"), ("2", "Prediction failed"), ("3", "")]
        )
        self.assertIsNone(call.status)

    def test_parts_are_messages_and_the_last_is_told_to_those_who_ask(self) -> None:
        self.serve()
        for wants in (False, True):
            asked = infer(triton_enable_empty_final_response=True) if wants else infer()
            call = self.ask(asked, infer("zz", triton_enable_empty_final_response=wants), ends=True)
            self.worker.send_part(response())
            self.worker.answer(Answer(200, b"", response()))
            self.stage.turn()
            told = [
                each.infer_response.parameters["triton_final_response"].bool_param
                if "triton_final_response" in each.infer_response.parameters
                else None
                for each in self.answers(call, "oip.ModelStreamInferResponse")
            ]
            # The refusal of the second request comes first.
            self.assertEqual(told, [True, False, True] if wants else [None, None, None])

    def test_client_that_leaves(self) -> None:
        version = self.serve(batch_size=1)
        call = self.ask(infer(), infer(), infer())
        call.cancel()
        self.assertEqual(version.queue.waiting, 0)
