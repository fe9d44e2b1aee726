"""From a handler's module to what is called for each batch."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.handlers.model_service import SingleNodeService
from modelserver.child.loading.loader import initialize
from tests.harness.loops import load_request


class OldestServiceTests(SynchronousTestCase):
    """An archive with a manifest of MMS 0.x: its service is told of its model when it is made."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        (self.folder / "signature.json").write_text('{"inputs": [{"data_name": "data"}]}')
        self.told = load_request(
            name="old",
            folder=str(self.folder),
            dialect="mms",
            manifest={"Model": {"Service": "service.py", "Signature": "signature.json"}},
        )

    def module(self, source: str) -> ModuleType:
        """A handler's module."""
        module = ModuleType("oldest_service")
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__)
        vars(module)["SingleNodeService"] = SingleNodeService
        exec(source, vars(module))
        return module

    def test_service_is_made_with_its_model(self) -> None:
        module = self.module(
            "class Helper: pass\n"
            "class Service(SingleNodeService):\n"
            "    def _inference(self, data): return [self.model_name, data]\n"
        )
        entry, context = initialize(self.told, module, "handle")
        self.assertEqual(entry([{"data": b"x"}], context), [["old", [b"x"]]])

    def test_service_of_a_newer_archive_is_made_without(self) -> None:
        told = evolve(self.told, manifest={"model": {}})
        module = self.module("class Service:\n    def handle(self, data, context): return data\n")
        entry, context = initialize(told, module, "handle")
        rows: list[Any] = [{"data": b"x"}]
        self.assertEqual(entry(rows, context), rows)
