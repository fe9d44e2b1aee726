"""Answers the rows about the model store as a repository."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping

from twisted.web.server import Request

from modelserver.errors import BadRequest, ServingError
from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.management.repository import ModelRepository, RepositoryEntry, check_parameters
from modelserver.rest.binding import Operation
from modelserver.rest.dialects.json_text import pretty
from modelserver.rest.management.calls import body_of_call, uninterrupted
from modelserver.rest.parameters import LONGEST_FIELDS
from modelserver.rest.reply import KleinResponder


@frozen(eq=False)
class RepositoryApi:
    """Answers in the protocol's words, errors included: ``{"error": ...}``, beside what the dialect says."""

    repository: ModelRepository
    responder: KleinResponder

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {"repositoryIndex": self.index, "repositoryLoad": self.load, "repositoryUnload": self.unload}

    async def index(self, request: Request) -> bytes:
        """List models."""
        return await self._answer(request, self._index(request))

    async def load(self, request: Request, model_name: str) -> bytes:
        """Load a model."""
        return await self._answer(request, self._load(request, model_name))

    async def unload(self, request: Request, model_name: str) -> bytes:
        """Unload a model."""
        return await self._answer(request, self._unload(request, model_name))

    # Steps.

    async def _answer(self, request: Request, work: Awaitable[object]) -> bytes:
        try:
            reply = Reply(200, pretty(await work))
        except ServingError as error:
            reply = self.responder.dialect.failed(error)
            said = json.loads(reply.body)
            reply = reply._replace(body=pretty({"error": said["message"], **said}))
        return self.responder.render(request, reply)

    async def _index(self, request: Request) -> object:
        only_ready = _read(request).get("ready", False)
        if not isinstance(only_ready, bool):
            raise BadRequest("ready has to be true or false.")
        return [_row(entry) for entry in await self.repository.index(only_ready)]

    async def _load(self, request: Request, name: str) -> object:
        parameters = _read(request).get("parameters")
        if parameters is None:
            parameters = {}
        if not isinstance(parameters, dict):
            raise BadRequest("parameters have to be an object.")
        check_parameters(parameters)
        await uninterrupted(self.repository.load(name))
        return {"name": name, "load": True}

    async def _unload(self, request: Request, name: str) -> object:
        _read(request)
        await uninterrupted(self.repository.unload(name))
        return {"name": name, "unload": True}


def _read(request: Request) -> Mapping[str, object]:
    """
    Return what a request's body says, whatever its type is: clients send none, or no type.

    :raises BadRequest: it is no JSON object.
    """
    body = body_of_call(request)
    if len(body) > LONGEST_FIELDS:
        raise BadRequest(f"The body is longer than {LONGEST_FIELDS} bytes.")
    try:
        value = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        raise BadRequest("The JSON body cannot be read.") from error
    if not isinstance(value, dict):
        raise BadRequest("The JSON body must be an object.")
    return value


def _row(entry: RepositoryEntry) -> Mapping[str, str]:
    version = {"version": entry.version} if entry.version else {}
    return {"name": entry.name, **version, "state": entry.state.value, "reason": entry.reason}
