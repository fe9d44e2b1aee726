"""
The messages of our services, as classes that are made at run time.

Code that protoc generates asks for the protobuf that it was made with; descriptors go with every one. That is
what users need, for the clients of several projects ask for different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import field
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from modelserver.errors import BadRequest
from modelserver.language.attributes import define

DESCRIPTORS = Path(__file__).parent / "protos" / "services.binpb"
"""All files and what they import, each after what it imports; ``make protos`` writes it."""

NO_MESSAGE = "The request is no message of this method's type."


@define(eq=False)
class Messages:
    """
    The classes of our messages, in a pool of their own: no other library in this process can be in their way.

    :param descriptors: a serialized ``FileDescriptorSet``.
    """

    descriptors: bytes
    pool: DescriptorPool = field(factory=DescriptorPool, init=False)
    files: Sequence[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        found = FileDescriptorSet.FromString(self.descriptors).file
        for file in found:
            self.pool.AddSerializedFile(file.SerializeToString())
        self.files = [file.name for file in found]

    @classmethod
    def load(cls) -> Messages:
        """Read the descriptors that come with this package."""
        return cls(DESCRIPTORS.read_bytes())

    def type_of(self, name: str) -> Any:  # whose attributes are the descriptors', which no checker reads
        """
        Return the class of a message.

        :param name: with its package.
        :raises KeyError: there is none.
        """
        return GetMessageClass(self.pool.FindMessageTypeByName(name))

    def service(self, name: str) -> ServiceDescriptor:
        """
        Return what a service is made of.

        :param name: with its package.
        :raises KeyError: there is none.
        """
        return self.pool.FindServiceByName(name)

    def file(self, name: str) -> FileDescriptor:
        """
        Return a file of the set.

        :raises KeyError: there is none.
        """
        return self.pool.FindFileByName(name)


def parse(kind: type[Message], message: bytes | memoryview) -> Any:  # as with ``type_of``
    """
    Read a request.

    :raises BadRequest: it is no such message.
    """
    try:
        return kind.FromString(bytes(message))
    except DecodeError as error:
        raise BadRequest(NO_MESSAGE) from error
