"""The standard reflection service: which services there are, and what their messages look like.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import field
from google.protobuf.descriptor import FileDescriptor

from modelserver.language.attributes import define
from modelserver.rpc.codes import Code
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages, parse


@define(eq=False)
class Reflection:
    """
    Answers questions about services, one after the other.

    :param name: the path.
    :param package: of the messages: the service has two versions.
    :param services: of the listener.
    """

    name: str
    package: str
    services: Sequence[str]
    messages: Messages
    streams_in: bool = field(default=True, init=False)
    _request: Any = field(init=False)
    _response: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._request = self.messages.type_of(f"{self.package}.ServerReflectionRequest")
        self._response = self.messages.type_of(f"{self.package}.ServerReflectionResponse")

    def begin(self, call: Call) -> None:
        """Wait for questions. A client that does not read the answers is not let ask on."""
        unread: list[int] = []
        call.context = unread

        def resume() -> None:
            call.consumed(sum(unread), len(unread))
            unread.clear()

        call.on_resume = resume

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """
        Answer a question, or end.

        :raises BadRequest: it is no message.
        """
        if message is None:
            call.finish()
            return
        request = parse(self._request, message)
        can_take = call.send(self._answer(request).SerializeToString())
        if can_take or not isinstance(call.context, list):
            call.consumed(len(message))
        else:
            call.context.append(len(message))

    def _answer(self, request: Any) -> Any:
        response = self._response(valid_host=request.host, original_request=request)
        asked = request.WhichOneof("message_request")
        try:
            if asked == "list_services":
                for name in self.services:
                    response.list_services_response.service.add(name=name)
            elif asked == "file_by_filename":
                self._describe(response, self.messages.file(request.file_by_filename))
            elif asked == "file_containing_symbol":
                self._describe(response, self._file_of(request.file_containing_symbol))
            elif asked == "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                self.messages.type_of(name)
                response.all_extension_numbers_response.base_type_name = name
            elif asked == "file_containing_extension":
                raise KeyError(request.file_containing_extension.containing_type)
            else:
                _refuse(response, Code.INVALID_ARGUMENT, "The request asks for nothing.")
        except KeyError:
            _refuse(response, Code.NOT_FOUND, "There is no such symbol.")
        return response

    def _file_of(self, symbol: str) -> FileDescriptor:
        """
        Return the file that defines a symbol.

        :raises KeyError: none does.
        """
        try:
            return self.messages.pool.FindFileContainingSymbol(symbol)
        except KeyError:
            # Not every pool knows methods.
            service, _, method = symbol.rpartition(".")
            return self.messages.service(service).methods_by_name[method].containing_service.file

    def _describe(self, response: Any, file: FileDescriptor) -> None:
        files = response.file_descriptor_response.file_descriptor_proto
        files.extend(each.serialized_pb for each in _with_imports(file, set()))


def _with_imports(file: FileDescriptor, seen: set[str]) -> Iterator[FileDescriptor]:
    """Yield a file, and those that it needs, each once."""
    if file.name not in seen:
        seen.add(file.name)
        yield file
        for each in file.dependencies:
            yield from _with_imports(each, seen)


def _refuse(response: Any, code: Code, why: str) -> None:
    response.error_response.error_code = int(code)
    response.error_response.error_message = why
