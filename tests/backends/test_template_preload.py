"""What the template of a version is to hold."""

from __future__ import annotations

from pathlib import Path
from typing import cast
from unittest import TestCase

from twisted.logger import LogLevel, capturedLogs, formatEvent

from modelserver.backends.local import LocalBackend
from modelserver.backends.template import TemplateBackend
from modelserver.spec import WorkerSpec
from modelserver.testing.providers import make_spec


class PreloadTests(TestCase):
    """On a GPU no handler is initialized before the fork."""

    def setUp(self) -> None:
        self.backend = TemplateBackend(cast("LocalBackend", None))  # nothing is started

    def preload(self, preload: str, gpu: int | None, version: str = "1.0") -> str:
        """What a version's template is to hold."""
        spec = make_spec("m", version, folder=Path("/nowhere"), worker_start="template", preload=preload)
        return self.backend.preload_of(WorkerSpec(spec, "9000", gpu))

    def test_model_becomes_imports_on_a_gpu_which_is_told_once(self) -> None:
        with capturedLogs() as events:
            found = [self.preload("model", 0), self.preload("model", 1), self.preload("model", 0, "2.0")]
        self.assertEqual(found, ["imports"] * 3)
        told = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(
            told,
            [
                f"Model m version {version} is on a GPU, which its template must not touch: "
                "its workers start with preload=imports, not model"
                for version in ("1.0", "2.0")
            ],
        )

    def test_others_stay(self) -> None:
        with capturedLogs() as events:
            for preload, gpu in (("libraries", 0), ("imports", 0), ("model", None)):
                self.assertEqual(self.preload(preload, gpu), preload)
        self.assertEqual(events, [])
