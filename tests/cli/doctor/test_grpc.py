"""What the doctor says of gRPC."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.cli.doctor.configuration import about_grpc
from modelserver.cli.doctor.findings import Finding
from modelserver.config.settings import build_settings


def found(why: str | None = None, dialect: str = "torchserve", **properties: str) -> list[Finding]:
    """The findings of a configuration; ``why`` says what is missing."""
    return list(about_grpc(build_settings(properties, dialect, Path("/srv")), lambda: why))


class GrpcTests(SynchronousTestCase):
    """Where it listens, or why not."""

    def test_ports(self) -> None:
        self.assertEqual(
            found(grpc_inference_port="7777"),
            [
                Finding(
                    "works",
                    "gRPC",
                    "Inference at grpc://127.0.0.1:7777, management at grpc://127.0.0.1:7071.",
                )
            ],
        )

    def test_none(self) -> None:
        self.assertEqual(found(dialect="mms"), [])

    def test_not_installed(self) -> None:
        (told,) = found("it is not here")
        self.assertEqual((told.verdict, told.text), ("differs", "gRPC is not served: it is not here."))

    def test_not_installed_but_asked_for(self) -> None:
        (told,) = found("it is not here", grpc_inference_port="7777")
        self.assertEqual((told.verdict, told.text), ("fails", "grpc_inference_port=7777: it is not here."))
