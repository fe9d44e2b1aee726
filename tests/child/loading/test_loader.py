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
from modelserver.child.metrics import unowned
from modelserver.child.metrics.caching import CachingMetric
from tests.harness.handler_metrics import drained
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


class OwnMetricsTests(SynchronousTestCase):
    """Metrics that a handler has made itself are sent with those of its context."""

    def test_values_from_initialize_on(self) -> None:
        module = ModuleType("counting_service")
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__)
        self.addCleanup(unowned.release)
        vars(module)["metric"] = CachingMetric("load", "ms", ["Kind"])
        exec(
            "def handle(data, context): metric.add_or_update(1, ['a' if data else 'start']); return data",
            vars(module),
        )
        entry, context = initialize(load_request(name="m", folder=self.mktemp()), module, "handle")
        entry([{"data": b"x"}], context)
        told = [record["dimensions"] for record in drained(context)]
        self.assertEqual(told, [[["Kind", "start"]], [["Kind", "a"]]])


class WarmUpTests(SynchronousTestCase):
    """A handler that can is called before it is ready, if model-config.yaml asks for it."""

    def warm_ups(self, config: dict[str, object], source: str, envelope: str | None = None) -> list[object]:
        """What happened to a handler until it was ready."""
        told: list[object] = []
        module = ModuleType("warmed_service")
        vars(module)["told"] = told
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__, None)
        exec(f"class Service:\n    def handle(self, data, context): return data\n{source}", vars(module))
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        request = load_request(name="m", folder=str(folder), config=config, envelope=envelope)
        initialize(request, module, "handle")
        return told

    def test_after_initialize(self) -> None:
        source = (
            "    def initialize(self, context): told.append('initialized')\n"
            "    def warm_up(self, context): told.append(context.model_yaml_config)\n"
        )
        config: dict[str, object] = {"warmup": {"shapes": [[1]]}}
        self.assertEqual(self.warm_ups(config, source), ["initialized", config])
        self.assertEqual(self.warm_ups({"warmup": True}, source), ["initialized"])

    def test_context_knows_the_envelope_of_requests(self) -> None:
        source = "    def warm_up(self, context): told.append(context.envelope)\n"
        for envelope in (None, "kserve"):
            self.assertEqual(self.warm_ups({"warmup": {}}, source, envelope), [envelope])

    def test_handler_that_cannot(self) -> None:
        self.assertEqual(self.warm_ups({"warmup": {"shapes": [[1]]}}, ""), [])

    def test_failure_is_one_of_loading(self) -> None:
        source = "    def warm_up(self, context): raise MemoryError('too large')\n"
        self.assertRaises(MemoryError, self.warm_ups, {"warmup": {}}, source)
