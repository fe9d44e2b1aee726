"""
The descriptors of the gRPC services, made of the ``.proto`` files beside them.

``make protos`` writes them, and a test fails when that was forgotten. protoc comes with ``grpcio-tools``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorSet

from modelserver.rpc.messages import DESCRIPTORS

FOLDER = DESCRIPTORS.parent
FILES = ("inference", "management", "open_inference", "health", "reflection", "google/rpc/error_details")
TWINS = (
    ("open_inference", "inference", "org.pytorch.serve.grpc.openinference"),
    ("reflection", "grpc.reflection.v1", "grpc.reflection.v1alpha"),
)
"""Files that are served under a second package, too: TorchServe's own, and the one of older tools."""


def compiled() -> bytes:
    """
    Return all files, with those that they import, as one serialized set.

    :raises ImportError: grpcio-tools is not installed.
    :raises ValueError: protoc refuses a file.
    """
    from grpc_tools import protoc

    with TemporaryDirectory() as folder:
        result = Path(folder) / "set"
        arguments = [
            f"--proto_path={FOLDER}",
            f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
            "--include_imports",
            f"--descriptor_set_out={result}",
        ]
        if protoc.main(["protoc", *arguments, *(f"{name}.proto" for name in FILES)]):
            raise ValueError("protoc has refused the files; its message stands above")
        found = FileDescriptorSet.FromString(result.read_bytes())
    for name, package, twin in TWINS:
        _add_twin(found, name, package, twin)
    return found.SerializeToString(deterministic=True)


def _add_twin(found: FileDescriptorSet, name: str, package: str, twin: str) -> None:
    """Add a file once more, with every type in another package."""
    file = next(each for each in found.file if each.name == f"{name}.proto")
    copy = found.file.add()
    copy.CopyFrom(file)
    copy.name, copy.package = f"{twin.replace('.', '/')}/{name}.proto", twin
    types = [field for message in _all_of(copy.message_type) for field in message.field if field.type_name]
    methods = [method for service in copy.service for method in service.method]
    for field in types:
        field.type_name = field.type_name.replace(f".{package}.", f".{twin}.", 1)
    for method in methods:
        method.input_type = method.input_type.replace(f".{package}.", f".{twin}.", 1)
        method.output_type = method.output_type.replace(f".{package}.", f".{twin}.", 1)


def _all_of(messages: Iterable[DescriptorProto]) -> Iterator[DescriptorProto]:
    """Yield messages, and those within them."""
    for message in messages:
        yield message
        yield from _all_of(message.nested_type)


if __name__ == "__main__":
    DESCRIPTORS.write_bytes(compiled())
    sys.stdout.write(f"{DESCRIPTORS} has been written.\n")
