"""Methods that take one message and answer with one, made of the functions that answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from google.protobuf.message import Message
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.errors import InternalError, ServingError
from modelserver.language.attributes import frozen
from modelserver.rpc.codes import CallRefused
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import parse
from modelserver.rpc.status import Statuses

_log = Logger()


@frozen(eq=False)
class Unary:
    """
    A method that answers at once.

    :param request: the class of the request.
    :param answer: makes the answer of a request and its call; it may raise a ``ServingError``.
    """

    name: str
    request: type[Message]
    answer: Callable[[Any, Call], Message]
    statuses: Statuses
    streams_in: bool = False

    def begin(self, call: Call) -> None:
        """Do nothing: the request comes as a whole."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Answer a request."""
        assert message is not None, "there is one where clients do not stream"
        try:
            answer = self.answer(parse(self.request, message), call)
        except ServingError as error:
            call.finish(*self.statuses.of(error))
        else:
            call.reply(answer.SerializeToString())


@frozen(eq=False)
class LateUnary:
    """
    A method whose answer takes its time; what it does goes on when its client leaves.

    :param answer: as with ``Unary``, a coroutine.
    """

    name: str
    request: type[Message]
    answer: Callable[[Any, Call], Awaitable[Message]]
    statuses: Statuses
    streams_in: bool = False

    def begin(self, call: Call) -> None:
        """Do nothing: the request comes as a whole."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Begin to answer a request."""
        assert message is not None, "there is one where clients do not stream"
        try:
            request = parse(self.request, message)
        except ServingError as error:
            call.finish(*self.statuses.of(error))
            return

        def answered(answer: Message) -> None:
            call.reply(answer.SerializeToString())

        def failed(failure: Failure) -> None:
            if call.is_over:
                _log.warn("Failed after its client had left: {error}", error=str(failure.value))
            call.finish(*_ending(failure, self.statuses))

        work = Deferred.fromCoroutine(cast(Coroutine[Any, Any, Message], self.answer(request, call)))
        work.addCallbacks(answered, failed)


def _ending(failure: Failure, statuses: Statuses) -> Any:  # the fields of a CallStatus
    """Return how a call ends that failed; an error that is not meant for clients is logged."""
    error = failure.value
    if isinstance(error, CallRefused):
        return error.status
    if isinstance(error, ServingError):
        return statuses.of(error)
    _log.failure("A call ended in an error of the server", failure=failure)
    return statuses.of(InternalError())
