"""The standard health service."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from modelserver.errors import AccessDenied
from modelserver.rpc.health import EVERY
from modelserver.rpc.methods import methods_of, services_of
from modelserver.spec import WorkerFailure
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc_messages import type_of
from tests.harness.rpc_services import RpcCase, make_call

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3
KEY = b"Bearer k"


class KeyGate:
    """Wants one key."""

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Let those pass who have it."""
        if (kind, authorization) != ("inference", KEY):
            raise AccessDenied()


def request(service: str = "") -> Any:
    return type_of("health.HealthCheckRequest")(service=service)


class CheckTests(RpcCase):
    """Check."""

    def check(self, service: str, *metadata: tuple[str, str]) -> int:
        """Return a state; 0 for NOT_FOUND."""
        call = self.call("grpc.health.v1.Health/Check", request(service), metadata=metadata)
        if self.told(call)[0] == "NOT_FOUND":
            return 0
        found: int = self.answer(call, "health.HealthCheckResponse").status
        return found

    def test_server_services_and_models(self) -> None:
        self.serve()
        self.serve("idle", workers=0)
        for name, wanted in (
            ("", SERVING),
            *((service, SERVING) for service in services_of(methods_of("inference"))),
            ("m", SERVING),
            ("idle", NOT_SERVING),
            ("nope", 0),
            ("org.pytorch.serve.grpc.management.ManagementAPIsService", 0),
        ):
            with self.subTest(name):
                self.assertEqual(self.check(name), wanted)

    def test_services_are_those_of_the_listener(self) -> None:
        path = "/grpc.health.v1.Health/Check"
        name = "org.pytorch.serve.grpc.management.ManagementAPIsService"
        call = make_call(self.sites["management"], path, request(name).SerializeToString())
        self.assertEqual(self.answer(call, "health.HealthCheckResponse").status, SERVING)

    def test_services_need_workers_where_there_are_to_be_some(self) -> None:
        self.serve()
        self.worker.exit(WorkerFailure("exit", 0.0, exit_code=1))
        self.assertEqual(self.check(""), SERVING)
        self.assertEqual(self.check(services_of(methods_of("inference"))[0]), NOT_SERVING)
        self.assertEqual(self.check("m"), NOT_SERVING)

    def test_model_of_the_start_that_is_on_its_way(self) -> None:
        self.inference.start_up.expect(["m"])
        self.assertEqual(self.check("m"), NOT_SERVING)

    def test_nothing_serves_before_a_drain(self) -> None:
        self.serve()
        self.is_stopping = True
        for name in ("", services_of(methods_of("inference"))[0], "m"):
            self.assertEqual(self.check(name), NOT_SERVING)

    def test_bytes_that_are_no_message(self) -> None:
        self.assertEqual(
            self.told(self.call("grpc.health.v1.Health/Check", b"\x0a\x05"))[0], "INVALID_ARGUMENT"
        )


class KeyTests(CheckTests):
    """With tokens in use, everybody is told of the server, but of models only who may ask them."""

    gate = KeyGate()

    def check(self, service: str, *metadata: tuple[str, str]) -> int:
        """Ask with the key."""
        return super().check(service, ("authorization", KEY.decode()))

    def test_without_the_key(self) -> None:
        self.serve()
        for name, wanted in (
            ("", SERVING),
            (services_of(methods_of("inference"))[0], SERVING),
            ("m", 0),
            ("nope", 0),
        ):
            self.assertEqual(CheckTests.check(self, name), wanted)


class WatchTests(RpcCase):
    """Watch."""

    def test_model_that_a_client_may_not_know_about(self) -> None:
        self.gate = KeyGate()
        self.setUp()
        self.serve()
        call = self.watch("m")
        for _ in range(3):
            self.clock.advance(EVERY)
        self.assertEqual(self.states(call), [SERVICE_UNKNOWN])
        self.assertIsNone(call.status)

    def test_several_clients_of_one_name(self) -> None:
        self.serve()
        calls = [self.watch("m") for _ in range(3)]
        calls[0].cancel()
        self.worker.exit(WorkerFailure("exit", 0.0, exit_code=1))
        self.clock.advance(EVERY)
        self.assertEqual([self.states(call) for call in calls], [[1], [1, 2], [1, 2]])

    def watch(self, service: str = "") -> MemoryCall:
        """Begin to watch."""
        return self.call("grpc.health.v1.Health/Watch", request(service))

    def states(self, call: MemoryCall) -> list[int]:
        """What a client was told."""
        return [each.status for each in self.answers(call, "health.HealthCheckResponse")]

    def test_state_at_once_and_every_change(self) -> None:
        call = self.watch("m")
        self.assertEqual(self.states(call), [SERVICE_UNKNOWN])
        self.serve()
        self.clock.advance(EVERY)
        self.clock.advance(EVERY)
        self.assertEqual(self.states(call), [SERVICE_UNKNOWN, SERVING])
        self.worker.exit(WorkerFailure("exit", 0.0, exit_code=1))
        self.clock.advance(EVERY)
        self.assertEqual(self.states(call), [SERVICE_UNKNOWN, SERVING, NOT_SERVING])
        self.assertIsNone(call.status)

    def test_calls_end_when_the_server_stops(self) -> None:
        call = self.watch()
        self.is_stopping = True
        self.clock.advance(EVERY)
        self.assertEqual(self.states(call), [SERVING, NOT_SERVING])
        self.assertEqual(self.told(call)[0], "UNAVAILABLE")

    def test_nobody_looks_when_nobody_watches(self) -> None:
        assert isinstance(self.clock, Clock)
        first, second = self.watch(), self.watch("m")
        calls = len(self.clock.getDelayedCalls())
        first.cancel()
        self.assertEqual(len(self.clock.getDelayedCalls()), calls)
        second.cancel()
        self.assertEqual(len(self.clock.getDelayedCalls()), calls - 1)
        self.clock.advance(10 * EVERY)
        self.assertEqual(self.states(first), [SERVING])
