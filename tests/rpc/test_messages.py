"""The descriptors that come with the package, and the classes that are made of them."""

from __future__ import annotations

from unittest import TestCase

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from modelserver.errors import BadRequest
from modelserver.rpc.messages import DESCRIPTORS, parse
from tests.harness.packages import needs_protoc
from tests.harness.protos import TWINS, compiled
from tests.harness.rpc_messages import messages, type_of


class DescriptorTests(TestCase):
    """The checked-in descriptors."""

    @needs_protoc
    def test_they_are_what_protoc_makes_of_the_files(self) -> None:
        kept = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
        self.assertEqual(kept, FileDescriptorSet.FromString(compiled()), "run: make protos")

    def test_twins_have_the_same_messages_in_another_package(self) -> None:
        for name, package, twin in TWINS:
            file = messages().file(f"{name}.proto")
            other = messages().file(f"{twin.replace('.', '/')}/{name}.proto")
            with self.subTest(twin):
                self.assertEqual(list(file.message_types_by_name), list(other.message_types_by_name))
                for service in other.services_by_name.values():
                    for method in service.methods:
                        self.assertTrue(method.input_type.full_name.startswith(twin), method.full_name)
                        self.assertTrue(method.output_type.full_name.startswith(twin), method.full_name)
                text = other.serialized_pb
                self.assertNotIn(f".{package}.".encode(), text.replace(f".{twin}.".encode(), b""))


class ParseTests(TestCase):
    """``parse``."""

    def test_message(self) -> None:
        request = type_of("management.SetDefaultRequest")(model_name="m", model_version="2.0")
        for data in (request.SerializeToString(), memoryview(request.SerializeToString())):
            self.assertEqual(parse(type(request), data), request)

    def test_bytes_that_are_no_message_are_the_clients_fault(self) -> None:
        with self.assertRaises(BadRequest):
            parse(type_of("management.SetDefaultRequest"), b"\x0a\x05x")

    def test_zero_can_be_told_from_nothing_where_it_counts(self) -> None:
        scale = type_of("management.ScaleWorkerRequest")
        self.assertTrue(scale.FromString(scale(min_worker=0).SerializeToString()).HasField("min_worker"))
        self.assertFalse(scale().HasField("min_worker"))
