"""
Real gRPC clients for tests: grpcio's channels, with stubs of our descriptors or of TorchServe's own files.

``MODELSERVER_PEER_TS`` names the ``bin`` folder of an environment with torchserve; its ``.proto`` files are
taken from the installation, compiled into a folder of the test, and never kept.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from attrs import define

# A process that has grpcio and starts others by fork may lose them, unless this is set before the import.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from modelserver.rpc.messages import Messages

INFERENCE = "org.pytorch.serve.grpc.inference"
MANAGEMENT = "org.pytorch.serve.grpc.management"
_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
PEER = os.environ.get("MODELSERVER_PEER_TS", "")


def has_grpcio() -> bool:
    """Whether grpcio is installed."""
    return find_spec("grpc") is not None


def stub(channel: Any, messages: Messages, service: str) -> Any:
    """
    Return what calls the methods of a service, by their names, as generated stubs do.

    :param service: with its package.
    """
    calls = {}
    for method in messages.service(service).methods:
        make = getattr(channel, _KINDS[method.client_streaming, method.server_streaming])
        calls[method.name] = make(
            f"/{service}/{method.name}",
            request_serializer=messages.type_of(method.input_type.full_name).SerializeToString,
            response_deserializer=messages.type_of(method.output_type.full_name).FromString,
        )
    return SimpleNamespace(**calls)


@define(eq=False)
class TorchServeApi:
    """
    TorchServe's messages by their names, and its stubs.

    :param message: returns the class of a message, by its name without a package.
    """

    message: Callable[[str], Any]
    inference: Callable[[Any], Any]
    management: Callable[[Any], Any]

    def request(self, model: str, version: str = "", /, **inputs: bytes) -> Any:
        """A ``PredictionsRequest``."""
        kind = self.message("PredictionsRequest")
        return kind(model_name=model, model_version=version, input=inputs)

    def step(self, model: str, sequence: str, data: bytes) -> Any:
        """A ``PredictionsRequest`` of a sequence."""
        kind = self.message("PredictionsRequest")
        return kind(model_name=model, sequence_id=sequence, input={"data": data})


def own_api() -> TorchServeApi:
    """The services of our descriptors."""
    messages = Messages.load()

    def message(name: str) -> Any:
        for package in (INFERENCE, MANAGEMENT, "google.protobuf"):
            try:
                return messages.type_of(f"{package}.{name}")
            except KeyError:
                continue
        raise KeyError(name)

    return TorchServeApi(
        message,
        lambda channel: stub(channel, messages, f"{INFERENCE}.InferenceAPIsService"),
        lambda channel: stub(channel, messages, f"{MANAGEMENT}.ManagementAPIsService"),
    )


def peers_api(folder: Path) -> TorchServeApi:
    """
    The services of TorchServe's own files, as protoc generates them.

    :param folder: for the files and what is made of them; it stays on the path of imports.
    """
    from google.protobuf import empty_pb2
    from grpc_tools import protoc

    (jar,) = Path(PEER).parent.glob("lib/python3*/site-packages/ts/frontend/model-server.jar")
    names = ("inference.proto", "management.proto")
    with zipfile.ZipFile(jar) as archive:
        for name in (*names, "google/rpc/status.proto"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
    include = str(Path(protoc.__file__).parent / "_proto")
    made = protoc.main(
        ["protoc", f"-I{folder}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}",
         *names, "google/rpc/status.proto"]
    )  # fmt: skip
    assert made == 0, "protoc has failed"
    sys.path.insert(0, str(folder))
    modules = [import_module(name.replace(".proto", "_pb2")) for name in names]
    inference, management = (import_module(name.replace(".proto", "_pb2_grpc")) for name in names)

    def message(name: str) -> Any:
        return next(getattr(module, name) for module in (*modules, empty_pb2) if hasattr(module, name))

    return TorchServeApi(message, inference.InferenceAPIsServiceStub, management.ManagementAPIsServiceStub)
