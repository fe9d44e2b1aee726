"""The methods of the Open Inference Protocol that list, load and unload the models of the model store.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import field
from google.protobuf.message import Message

from modelserver.errors import ParameterMissing
from modelserver.language.attributes import define
from modelserver.management.repository import ModelRepository, check_parameters
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages
from modelserver.rpc.methods import REPOSITORY

Answers = Callable[[Any, Call], Awaitable[Message]]


@define(eq=False)
class RepositoryService:
    """
    Answers in the messages of one package.

    :param package: whose messages the answers are.
    """

    repository: ModelRepository
    messages: Messages
    package: str
    _types: Mapping[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._types = {name: self.messages.type_of(f"{self.package}.{name}Response") for name in REPOSITORY}

    def answers(self) -> Mapping[str, Answers]:
        """Return the functions that answer, by the name of the method."""
        return dict(zip(REPOSITORY, (self.index, self.load, self.unload), strict=True))

    async def index(self, request: Any, call: Call) -> Message:
        """List models."""
        entries = await self.repository.index(request.ready)
        models = [
            {"name": each.name, "version": each.version, "state": each.state.value, "reason": each.reason}
            for each in entries
        ]
        return self._answer("RepositoryIndex", models=models)

    async def load(self, request: Any, call: Call) -> Message:
        """Load a model."""
        check_parameters(request.parameters)
        name = _name_of(request)
        await self.repository.load(name)
        return self._answer("RepositoryModelLoad", model_name=name, isLoaded=True)

    async def unload(self, request: Any, call: Call) -> Message:
        """Unload a model."""
        name = _name_of(request)
        await self.repository.unload(name)
        return self._answer("RepositoryModelUnload", model_name=name, isUnloaded=True)

    def _answer(self, method: str, **fields: object) -> Message:
        response: Message = self._types[method](**fields)
        return response


def _name_of(request: Any) -> str:
    """
    Return the model that a request names: in KServe's messages by the field that is Triton's repository.

    :raises ParameterMissing: it names none.
    """
    name: str = request.model_name or request.repository_name
    if not name:
        raise ParameterMissing("model_name")
    return name
