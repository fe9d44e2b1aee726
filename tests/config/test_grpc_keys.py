"""Where gRPC listens, by its keys, and where it does not."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.address import Address
from modelserver.config.loading import CommandLine, load_settings
from modelserver.config.settings import Settings, build_settings

SIDES = (("inference", 7070), ("management", 7071))


def settings(dialect: str = "torchserve", **properties: str) -> Settings:
    """Settings of these keys."""
    return build_settings(properties, dialect, Path("/srv"))


class GrpcAddressTests(SynchronousTestCase):
    """Both listeners have the same keys."""

    def test_torchserve_listens_on_loopback(self) -> None:
        for side, port in SIDES:
            self.assertEqual(settings().grpc_address(side), Address("grpc", "127.0.0.1", port))

    def test_mms_has_none_until_a_port_is_set(self) -> None:
        for side, port in SIDES:
            self.assertIsNone(settings("mms").grpc_address(side))
            asked = settings("mms", **{f"grpc_{side}_port": f"{port}"})
            self.assertEqual(asked.grpc_address(side), Address("grpc", "127.0.0.1", port))

    def test_off(self) -> None:
        for side, _ in SIDES:
            self.assertIsNone(settings(**{f"grpc_{side}_port": "-1"}).grpc_address(side))

    def test_any_port_of_any_interface(self) -> None:
        for side, _ in SIDES:
            found = settings(**{f"grpc_{side}_address": "::", f"grpc_{side}_port": "0"}).grpc_address(side)
            self.assertEqual(found, Address("grpc", "::", 0))

    def test_tls(self) -> None:
        found = settings(enable_grpc_ssl="true").grpc_address("inference")
        assert found is not None
        self.assertEqual((str(found), found.is_tls), ("grpcs://127.0.0.1:7070", True))

    def test_sockets_of_unix_need_no_port(self) -> None:
        for dialect in ("torchserve", "mms"):
            for side, _ in SIDES:
                path = {f"grpc_{side}_address": "unix:/run/g"}
                wanted = Address("unix", unix_path="/run/g")
                self.assertEqual(settings(dialect, **path).grpc_address(side), wanted)
                self.assertIsNone(settings(dialect, **path, **{f"grpc_{side}_port": "-1"}).grpc_address(side))


class GrpcSettingsTests(SynchronousTestCase):
    """What else the keys decide."""

    def test_ages_are_seconds(self) -> None:
        found = settings(grpc_inference_max_connection_age_ms="2500")
        self.assertEqual(
            (found.grpc_inference_max_connection_age, found.grpc_inference_max_connection_age_grace),
            (2.5, None),
        )

    def test_open_inference_is_there_unless_it_is_switched_off(self) -> None:
        """Over HTTP, it has to be switched on."""
        for text, over_http, over_grpc in (("", False, True), ("true", True, True), ("false", False, False)):
            found = settings(ts_open_inference_protocol=text)
            self.assertEqual(
                (found.open_inference_protocol, found.has_grpc_open_inference), (over_http, over_grpc), text
            )

    def test_variables(self) -> None:
        properties = {"enable_envvars_config": "true"}
        environ = {"TS_GRPC_INFERENCE_PORT": "7770", "TS_ENABLE_GRPC_SSL": "true"}
        found, _ = load_settings(CommandLine(properties=properties), environ, Path("/srv"))
        self.assertEqual(str(found.grpc_address("inference")), "grpcs://127.0.0.1:7770")
        self.assertEqual(found.properties["grpc_inference_port"], "7770")  # which snapshots carry
