"""The standard reflection service, in both of its versions."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from modelserver.rpc.codes import Code
from modelserver.rpc.methods import METHODS, REFLECTION, SIDES, methods_of, services_of
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc_messages import messages
from tests.harness.rpc_services import RpcCase, make_call, send


class ReflectionTests(RpcCase):
    """ServerReflectionInfo."""

    def ask(self, service: str = REFLECTION[0], side: str = "inference", **fields: Any) -> Any:
        """Ask one question."""
        package = service.rpartition(".")[0]
        request = messages().type_of(f"{package}.ServerReflectionRequest")(host="h", **fields)
        path = f"/{service}/ServerReflectionInfo"
        call = make_call(self.sites[side], path, request.SerializeToString())
        self.assertEqual(self.told(call)[0], "OK")
        (message,) = call.messages
        found = messages().type_of(f"{package}.ServerReflectionResponse").FromString(message)
        self.assertEqual((found.valid_host, found.original_request), ("h", request))
        return found

    def test_services_of_each_listener(self) -> None:
        for side in SIDES:
            for service in REFLECTION:
                found = self.ask(service, side, list_services="*")
                names = [each.name for each in found.list_services_response.service]
                self.assertEqual(names, list(services_of(methods_of(side))))

    def test_files_are_enough_to_make_calls(self) -> None:
        for service in dict.fromkeys(row.service for row in METHODS):
            with self.subTest(service):
                found = self.ask(file_containing_symbol=service)
                pool = DescriptorPool()
                for data in reversed(found.file_descriptor_response.file_descriptor_proto):
                    pool.AddSerializedFile(data)
                methods = {method.name for method in pool.FindServiceByName(service).methods}
                self.assertEqual(methods, {row.method for row in METHODS if row.service == service})

    def test_file_by_name(self) -> None:
        found = self.ask(file_by_filename="google/protobuf/empty.proto")
        (data,) = found.file_descriptor_response.file_descriptor_proto
        self.assertEqual(FileDescriptorProto.FromString(data).package, "google.protobuf")

    def test_symbols_of_all_kinds(self) -> None:
        for symbol in (
            "inference.ModelInferRequest",
            "inference.ModelInferRequest.InferInputTensor",
            "inference.GRPCInferenceService.ModelInfer",
            "grpc.health.v1.HealthCheckResponse.ServingStatus",
        ):
            with self.subTest(symbol):
                self.assertTrue(self.ask(file_containing_symbol=symbol).HasField("file_descriptor_response"))

    def test_what_there_is_not(self) -> None:
        for fields, code in (
            ({"file_by_filename": "nope.proto"}, Code.NOT_FOUND),
            ({"file_containing_symbol": "nope.Nope"}, Code.NOT_FOUND),
            ({"all_extension_numbers_of_type": "nope.Nope"}, Code.NOT_FOUND),
            (
                {"file_containing_extension": {"containing_type": "inference.ModelInferRequest"}},
                Code.NOT_FOUND,
            ),
            ({}, Code.INVALID_ARGUMENT),
        ):
            with self.subTest(fields):
                self.assertEqual(self.ask(**fields).error_response.error_code, code)

    def test_messages_have_no_extensions(self) -> None:
        found = self.ask(all_extension_numbers_of_type="inference.ModelInferRequest")
        self.assertEqual(found.all_extension_numbers_response.base_type_name, "inference.ModelInferRequest")

    def test_client_that_does_not_read_may_not_ask_on(self) -> None:
        path = f"/{REFLECTION[0]}/ServerReflectionInfo"
        method = self.sites["inference"].find(path.encode())
        assert method is not None
        kind = messages().type_of("grpc.reflection.v1.ServerReflectionRequest")
        question: bytes = kind(list_services="").SerializeToString()
        call = MemoryCall(can_take=False)
        method.begin(call)
        send(method, call, question)
        self.assertEqual(call.taken, 0)
        call.resume()
        self.assertEqual(call.taken, len(question))
        send(method, call, question)
        self.assertEqual((call.taken, len(call.messages)), (2 * len(question), 2))

    def test_bytes_that_are_no_message_end_the_call(self) -> None:
        path = f"/{REFLECTION[0]}/ServerReflectionInfo"
        call = make_call(self.sites["inference"], path, b"\x0a\x05")
        self.assertEqual(self.told(call)[0], "INVALID_ARGUMENT")
