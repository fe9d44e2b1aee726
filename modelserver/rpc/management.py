"""TorchServe's ManagementAPIsService: messages become the parameters of REST calls, answers their texts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from attrs import field
from google.protobuf.message import Message

from modelserver.errors import ParameterMissing, ServingError
from modelserver.interfaces import Dialect, Reply
from modelserver.language.attributes import define
from modelserver.management import parameters as calls
from modelserver.management.call_parameters import Fields, Parameter
from modelserver.management.requests import Page
from modelserver.management.service import Management
from modelserver.rpc.codes import CallRefused
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages
from modelserver.rpc.methods import TORCHSERVE_MANAGEMENT
from modelserver.rpc.status import PREDICTION_ENDINGS, Statuses

Answers = Callable[[Any, Call], Awaitable[Message]]

ALL = "all"
"""The version that stands for every version."""
_REGISTER_NUMBERS = (
    "batch_size",
    "initial_workers",
    "max_batch_delay",
    "response_timeout",
    "startup_timeout",
)
_REGISTER_TEXTS = ("handler", "model_name", "runtime", "url")
_SCALE_NUMBERS = ("max_worker", "min_worker", "number_gpu", "timeout")


@define(eq=False)
class ManagementService:
    """
    Answers management calls with what REST says: the text of its ``status``, or its JSON.

    Numbers that are not above 0, and texts that are empty, stand for nothing, as in TorchServe.
    """

    management: Management
    dialect: Dialect
    messages: Messages
    _response: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._response = self.messages.type_of("org.pytorch.serve.grpc.management.ManagementResponse")

    def answers(self) -> Mapping[str, Answers]:
        """Return the functions that answer, by path."""
        return {
            f"/{TORCHSERVE_MANAGEMENT}/{name}": answer
            for name, answer in (
                ("DescribeModel", self.describe),
                ("ListModels", self.list),
                ("RegisterModel", self.register),
                ("ScaleWorker", self.scale),
                ("SetDefault", self.set_default),
                ("UnregisterModel", self.unregister),
            )
        }

    async def register(self, request: Any, call: Call) -> Message:
        """Register a version of a model; unlike REST, wait for its workers only if that is asked for."""
        values: dict[str, object] = {
            name: value for name in _REGISTER_TEXTS if (value := getattr(request, name))
        }
        values |= {name: value for name in _REGISTER_NUMBERS if (value := getattr(request, name)) > 0}
        values |= {"synchronous": request.synchronous, "s3_sse_kms": request.s3_sse_kms}
        wanted = calls.register_request(self._fields(values, calls.REGISTER))
        spec = await self.management.register(wanted)
        return self._said(
            self.dialect.registered(spec.name, spec.version, spec.workers.minimum, wanted.synchronous)
        )

    async def scale(self, request: Any, call: Call) -> Message:
        """
        Change the number of workers: to zero, too, where a client tells 0 from nothing (``optional``).

        :raises ParameterMissing: no model is named.
        :raises ServingError: the number cannot be had.
        """
        if not request.model_name:
            raise ParameterMissing("model_name")
        values: dict[str, object] = {
            name: getattr(request, name)
            for name in _SCALE_NUMBERS
            if request.HasField(name) and getattr(request, name) >= 0
        }
        fields = self._fields({**values, "synchronous": request.synchronous}, calls.SCALE)
        wanted = calls.scale_request(request.model_name, request.model_version or None, fields)
        is_complete = await self.management.scale(wanted)
        return self._said(
            self.dialect.scaled(wanted.name, wanted.version, wanted.minimum, wanted.synchronous, is_complete)
        )

    async def set_default(self, request: Any, call: Call) -> Message:
        """Choose the default version."""
        await self.management.set_default(request.model_name, request.model_version)
        return self._said(self.dialect.default_set(request.model_name, request.model_version))

    async def unregister(self, request: Any, call: Call) -> Message:
        """
        Unregister a version.

        :raises ParameterMissing: no model is named.
        :raises ServingError: it is not registered, or cannot go.
        """
        if not request.model_name:
            raise ParameterMissing("url")  # TorchServe's word for it
        await self.management.unregister(request.model_name, request.model_version or None)
        return self._said(self.dialect.unregistered(request.model_name))

    async def describe(self, request: Any, call: Call) -> Message:
        """
        Describe a version, with its handler's own words if they are wanted, or all versions.

        :raises CallRefused: the handler was asked, and has failed.
        :raises ServingError: it is not registered.
        """
        name, version = request.model_name, request.model_version or None
        if version == ALL:
            return self._shown(self.dialect.described(await self.management.describe_all(name)))
        if not request.customized:
            return self._shown(self.dialect.described([await self.management.describe(name, version)]))
        try:
            description = await self.management.describe_customized(name, version, call.header_block)
        except ServingError as error:
            # It is a call of the handler: TorchServe fails it as it fails predictions.
            status = Statuses(self.dialect, PREDICTION_ENDINGS).of(error)
            raise CallRefused(*status) from error
        return self._shown(self.dialect.described([description]))

    async def list(self, request: Any, call: Call) -> Message:
        """List the models; 0 asks for as many as there may be, since it cannot be told from nothing."""
        page = Page.of(request.limit or None, request.next_page_token)
        return self._shown(self.dialect.listed(*self.management.list(page.limit, page.offset)))

    # Steps.

    def _fields(self, values: Mapping[str, object], parameters: Iterable[Parameter]) -> Fields:
        return Fields(values, typed=True).known_to(self.dialect.name, parameters)

    def _said(self, reply: Reply) -> Message:
        response: Message = self._response(msg=json.loads(reply.body)["status"])
        return response

    def _shown(self, reply: Reply) -> Message:
        response: Message = self._response(msg=reply.body.decode("utf-8", "replace").removesuffix("\n"))
        return response
