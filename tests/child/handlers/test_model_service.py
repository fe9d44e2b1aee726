"""The services of the oldest archives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import MmsContext
from modelserver.child.handlers.model_service import ModelService, SingleNodeService


class Shouting(SingleNodeService):
    """Answers in capitals."""

    def _preprocess(self, data: list[Any]) -> Any:
        return [item.decode() for item in data]

    def _inference(self, data: Any) -> Any:
        return [item.upper() for item in data]

    def _postprocess(self, data: Any) -> Any:
        return "+".join(data)


class ModelServiceTests(SynchronousTestCase):
    """What the loader and handlers rely on."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        inputs = [{"data_name": "left"}, {"data_name": "right"}]
        (self.folder / "signature.json").write_text(json.dumps({"inputs": inputs}))
        self.context = MmsContext("m", str(self.folder), None, 1, None, "1")

    def service(self, manifest: dict[str, Any] | None) -> Shouting:
        """A service that was initialized."""
        service = Shouting("m", str(self.folder), manifest, None)
        service.initialize(self.context)
        return service

    def test_inputs_of_the_signature(self) -> None:
        service = self.service({"Model": {"Signature": "signature.json"}})
        signature = service.signature()
        assert signature is not None
        self.assertEqual(signature["inputs"][0], {"data_name": "left"})
        rows = [{"left": b"a", "right": b"b"}, {"body": b"c"}, {"data": b"d", "right": b"e"}]
        self.assertEqual(service.handle(rows, self.context), ["A+B", "C+C", "D+E"])
        self.assertIs(service.ctx, self.context)

    def test_without_a_signature(self) -> None:
        service = self.service(None)
        self.assertIsNone(service.signature())
        self.assertIsNone(service.ping())
        self.assertEqual(service.handle([{"body": b"a"}, b"b"], self.context), ["A", "B"])

    def test_json_need_not_be_declared(self) -> None:
        (self.folder / "signature.json").write_text('{"input_type": "application/json"}')
        service = SingleNodeService("m", str(self.folder), {"Model": {"Signature": "signature.json"}})
        service.initialize(self.context)
        rows = [{"body": b'{"x": true}'}, {"body": bytearray(b"{'x': 1}")}, {"body": {"x": 2}}]
        self.assertEqual(service.handle(rows, self.context), [{"x": True}, {"x": 1}, {"x": 2}])

    def test_list_of_one_answer_is_the_answer(self) -> None:
        service = SingleNodeService("m", "/d", None)
        self.assertEqual(service.handle([{"body": b"a"}], self.context), [b"a"])
        service._postprocess = lambda data: [*data, "more"]  # type: ignore[method-assign]
        self.assertEqual(service.handle([{"body": b"a"}], self.context), [[b"a", "more"]])

    def test_inference_is_the_subclass_s(self) -> None:
        self.assertRaises(TypeError, ModelService, "m", "/d", None)
        self.assertEqual(SingleNodeService("m", "/d", None).inference(["x"]), ["x"])
