"""gRPC is served where it can be; a configuration that asks for it does not start without it."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.settings import Settings, build_settings
from modelserver.server.grpc import GrpcPlan, GrpcUnusable, absent_for_grpc, missing_for_grpc, plan_grpc

WHY = "it needs what is not here"


def settings(dialect: str = "torchserve", **properties: str) -> Settings:
    """Settings of these keys."""
    return build_settings(properties, dialect, Path("/srv"))


def plan(wanted: Settings, why: str | None = None) -> GrpcPlan:
    """What is planned; ``why`` is missing."""
    return plan_grpc(wanted, lambda: why)


class PlanTests(SynchronousTestCase):
    """By keys, and by what is installed."""

    def test_both_listeners_by_default(self) -> None:
        found = plan(settings())
        shown = {side: str(at) for side, at in found.addresses.items()}
        self.assertEqual(shown, {"inference": "grpc://127.0.0.1:7070", "management": "grpc://127.0.0.1:7071"})
        self.assertIsNone(found.note)

    def test_without_the_extra_a_default_server_says_so_once(self) -> None:
        self.assertEqual(plan(settings(), WHY), GrpcPlan({}, f"gRPC is not served: {WHY}"))

    def test_without_the_extra_a_server_that_was_asked_for_it_does_not_start(self) -> None:
        for name, value in (
            ("grpc_inference_port", "7070"),
            ("grpc_management_address", "0.0.0.0"),
            ("grpc_inference_max_connection_age_ms", "1000"),
            ("enable_grpc_ssl", "true"),
        ):
            error = self.assertRaises(GrpcUnusable, plan, settings(**{name: value}), WHY)
            self.assertEqual(str(error), f"{name}={value}: {WHY}")

    def test_keys_that_ask_for_nothing(self) -> None:
        for properties in (
            {"grpc_inference_port": "-1"},
            {"enable_grpc_ssl": "false"},
            {"grpc_management_port": ""},
        ):
            self.assertEqual(plan(settings(**properties), WHY).addresses, {}, properties)

    def test_where_nothing_is_wanted_nothing_is_looked_for(self) -> None:
        asked: list[bool] = []

        def missing() -> str | None:
            asked.append(True)
            return None

        off = {"grpc_inference_port": "-1", "grpc_management_port": "-1"}
        self.assertEqual(plan_grpc(settings(**off), missing), GrpcPlan({}))
        self.assertEqual(plan_grpc(settings("mms"), missing), GrpcPlan({}))
        self.assertEqual(asked, [])

    def test_the_extra_is_among_what_tests_need(self) -> None:
        self.assertIsNone(missing_for_grpc())
        self.assertIsNone(absent_for_grpc())
