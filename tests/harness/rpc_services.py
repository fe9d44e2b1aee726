"""The gRPC services over workers in memory, and short words for calls of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.version import ModelVersion
from modelserver.errors import ServingError
from modelserver.inference.health import ServerHealth
from modelserver.inference.predict import Inference
from modelserver.interfaces import Dialect
from modelserver.jobs import Job
from modelserver.management.repository import ModelRepository
from modelserver.metrics.figures import Figures
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rpc.codes import CallRefused, Code, Metadatum
from modelserver.rpc.interfaces import EndedCall, RpcMethod
from modelserver.rpc.methods import METHODS, MethodRow
from modelserver.rpc.site import Site, SiteRules, UseCases, make_sites
from modelserver.security.authorization import AllowAll, Authorizer
from modelserver.testing.providers import MemoryWorker, make_spec
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.management import ManagementStage
from tests.harness.rpc_messages import type_of

OIP = "inference.GRPCInferenceService"


@define(eq=False)
class EndedCalls:
    """Keeps the codes of calls that are over."""

    codes: list[Code] = field(factory=list)

    def ended(self, calls: Sequence[EndedCall], now: float) -> None:
        """Keep codes."""
        self.codes += [code for _, code in calls]


def row_of(name: str) -> MethodRow:
    """Return a row by the end of its path: ``Ping``, ``inference.GRPCInferenceService/ModelInfer``."""
    return next(row for row in METHODS if row.path.endswith(f"/{name}"))


def make_call(
    site: Site, path: str, *messages: bytes, ends: bool = True, call: MemoryCall | None = None
) -> MemoryCall:
    """
    Make a call as a connection does.

    :param ends: of a call with a stream of requests: the client sends no more.
    """
    call = call or MemoryCall()
    call.status_of = site.status_of
    call.method = path
    method = site.find(path.encode())
    if method is None:
        call.finish(Code.UNIMPLEMENTED)
        return call
    try:
        site.begin(call, method)
        if method.streams_in:
            method.begin(call)
    except (CallRefused, ServingError) as error:
        _refuse(call, error)
        return call
    for message in messages:
        send(method, call, message)
    if ends and method.streams_in:
        send(method, call, None)
    return call


def send(method: RpcMethod, call: MemoryCall, message: bytes | None) -> None:
    """Give a call a message, or the end of them."""
    if not call.is_over:
        try:
            method.message(call, message)
        except (CallRefused, ServingError) as error:
            _refuse(call, error)


def _refuse(call: MemoryCall, error: CallRefused | ServingError) -> None:
    if isinstance(error, CallRefused):
        call.finish(*error.status)
    else:
        call.fail(error)


class RpcCase(SynchronousTestCase):
    """Both listeners' services, and models whose workers the test plays."""

    gate: Authorizer = AllowAll()
    rules = SiteRules()
    dialect: Dialect = TorchServe()

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.on = ManagementStage(Path(folder.name))
        self.stage, self.clock = self.on.stage, self.on.stage.clock
        self.is_stopping = False
        self.figures = Figures()
        self.defects: list[Failure] = []
        self.ended = EndedCalls()
        ids = iter(range(1, 1 << 32))
        self.inference = Inference(
            registry=self.on.registry,
            deadlines=Deadlines(self.clock),
            clock=self.clock,
            recorder=self.stage.recorder,
            entropy=lambda size: next(ids).to_bytes(size, "big"),
        )
        cases = UseCases(
            inference=self.inference,
            management=self.on.management,
            health=ServerHealth(self.on.registry, self.inference.start_up, lambda: self.is_stopping),
            dialect=self.dialect,
            gate=self.gate,
            clock=self.clock,
            repository=ModelRepository(self.on.management, self.on.store),
            figures=lambda: self.figures,
        )
        self.sites = make_sites(cases, self.rules, self.ended, self.defects.append)

    def serve(
        self, name: str = "m", version: str = "1.0", workers: int = 1, **settings: object
    ) -> ModelVersion:
        """Serve a version whose workers have loaded it."""
        found = self.stage.version(make_spec(name, version, **settings))
        self.on.registry.add(found)
        found.pool.scale(workers, workers)
        self.stage.turn()
        for worker in self.stage.backend.workers[len(self.stage.backend.workers) - workers :]:
            worker.load()
        self.stage.turn()
        return found

    @property
    def worker(self) -> MemoryWorker:
        """The newest worker."""
        return self.stage.backend.last

    @property
    def job(self) -> Job:
        """The oldest job that the newest worker has."""
        return self.worker.batches[0][1][0]

    def call(
        self,
        name: str,
        *requests: Any,
        ends: bool = True,
        metadata: tuple[Metadatum, ...] = (),
        deadline: float | None = None,
    ) -> MemoryCall:
        """
        Call a method, and let workers be given what it leads to.

        :param name: the end of its path.
        :param requests: messages, or their bytes.
        """
        row = row_of(name)
        call = MemoryCall(metadata=list(metadata), deadline=deadline)
        messages = [each if isinstance(each, bytes) else each.SerializeToString() for each in requests]
        make_call(self.sites[row.sides[0]], row.path, *messages, ends=ends, call=call)
        self.stage.turn()
        return call

    def send(self, call: MemoryCall, request: Any | None) -> None:
        """Send a further message of a call, or end its requests."""
        row = next(row for row in METHODS if row.path == call.method)
        method = self.sites[row.sides[0]].find(row.path.encode())
        assert method is not None
        send(method, call, None if request is None else request.SerializeToString())
        self.stage.turn()

    def told(self, call: MemoryCall) -> tuple[str, list[str]]:
        """Return the code's name and the lines of a call that has ended."""
        assert call.status is not None, "the call goes on"
        return call.status.code.name, call.status.message.split("\n")

    def answers(self, call: MemoryCall, kind: str) -> list[Any]:
        """
        Return the messages of a call.

        :param kind: as ``type_of`` takes it.
        """
        return [type_of(kind).FromString(message) for message in call.messages]

    def answer(self, call: MemoryCall, kind: str) -> Any:
        """Return the only message of a call that is OK."""
        assert call.status is not None, "the call goes on"
        self.assertEqual((call.status.code, call.status.message), (Code.OK, ""))
        (message,) = self.answers(call, kind)
        return message
