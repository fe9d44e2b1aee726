"""Handlers in the process of their own tests."""

from __future__ import annotations

import os
import sys

import pytest
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.pack import PackRequest, pack
from modelserver.errors import ArchiveInvalid, ArchiveNotFound
from modelserver.testing import MockContext, ModelRequest, infer, json_body, multipart, raw, serve
from tests.harness.folder import FolderCase

HANDLER = """
class Handler:
    def initialize(self, context):
        self.config = context.model_yaml_config
        self.batch_size = context.system_properties["batch_size"]

    def handle(self, data, context):
        answers = []
        for index, row in enumerate(data):
            body = row.get("body")
            if body == "boom":
                raise RuntimeError("as asked")
            if body == "parts":
                context.send_parts([b"one, "])
                body = "two"
            if body == "teapot":
                context.set_response_status(418, "I am a teapot", index)
                context.set_response_header(index, "X-Kind", "pot")
            answers.append({"got": str(body), "of": len(data), "config": self.config,
                            "asked": context.get_request_header(index, "x-asked"),
                            "lang": str(row.get("lang")), "size": self.batch_size}
                           if body != "two" else "two")
        return answers
"""


class ServeTests(FolderCase):
    """Requests in, answers out."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.folder / "words"
        self.folder.mkdir()
        (self.folder / "handler.py").write_text(HANDLER)
        (self.folder / "model-config.yaml").write_text("handler: {a: 1}\n")

    def test_answers(self) -> None:
        with serve(self.folder, batch_size=4) as model:
            reply = model.predict(ModelRequest(b"hi", "text/plain", {"X-Asked": "yes"}, {"lang": "de"}))
        self.assertTrue(reply.is_ok)
        told = reply.json()
        assert isinstance(told, dict)
        self.assertEqual(("hi", 1, "yes", 4), (told["got"], told["of"], told["asked"], told["size"]))
        self.assertEqual({"handler": {"a": 1}}, told["config"])
        self.assertIn("de", told["lang"])

    def test_configuration_of_the_test_goes_before_the_file(self) -> None:
        with serve(self.folder, config={"handler": 2}) as model:
            told = model.predict(raw("x", "text/plain")).json()
        assert isinstance(told, dict)
        self.assertEqual({"handler": 2}, told["config"])

    def test_a_batch_is_one_call(self) -> None:
        with serve(self.folder) as model:
            replies = model.predict_batch([raw("a", "text/plain"), raw("b", "text/plain")])
        self.assertEqual([2, 2], [told["of"] for told in (reply.json() for reply in replies)])  # type: ignore[index]  # objects

    def test_what_cannot_be_decoded_is_refused_alone(self) -> None:
        bad = ModelRequest(b"--x\r\nno form", "multipart/form-data; boundary=x")
        with serve(self.folder) as model:
            replies = model.predict_batch([bad, multipart({"body": "1"}), bad])
        self.assertEqual([400, 200, 400], [reply.status for reply in replies])

    def test_status_headers_and_parts(self) -> None:
        with serve(self.folder) as model:
            teapot = model.predict(raw("teapot", "text/plain"))
            parts = model.predict(raw("parts", "text/plain"))
        self.assertEqual((418, "pot"), (teapot.status, teapot.headers["x-kind"]))
        self.assertEqual(([b"one, ", b"two"], "one, two"), (list(parts.parts), parts.text))

    def test_what_a_handler_raises_is_an_answer(self) -> None:
        with serve(self.folder) as model:
            reply = model.predict(raw("boom", "text/plain"))
        told = reply.json()
        assert isinstance(told, dict)
        self.assertEqual((503, "RuntimeError", "as asked"), (reply.status, told["exception"], told["text"]))
        self.assertFalse(reply.is_ok)

    def test_the_process_is_as_it_was(self) -> None:
        before = os.getcwd(), list(sys.path)
        with serve(self.folder):
            self.assertIn("handler", sys.modules)
        self.assertEqual(before, (os.getcwd(), sys.path))
        self.assertNotIn("handler", sys.modules)

    def test_what_loading_raises_is_raised(self) -> None:
        (self.folder / "handler.py").write_text("import no_such_library")
        with pytest.raises(ModuleNotFoundError), serve(self.folder):
            pass
        self.assertNotIn("handler", sys.modules)

    def test_archives_and_files(self) -> None:
        pack(PackRequest("packed", "1.0", str(self.folder / "handler.py"), export_path=self.folder))
        for place in ("packed.mar", "handler.py"):
            with serve(self.folder / place) as model:
                self.assertEqual(200, model.predict(raw("x", "text/plain")).status)

    def test_envelope(self) -> None:
        class Array:
            dtype, shape = "int64", (2,)

            def tolist(self) -> object:
                return [1, 2]

        source = "def handle(data, context):\n    return data and [{'sum': sum(d['x'])} for d in data]\n"
        (self.folder / "handler.py").write_text(source.replace("d['x']", "d['instances']"))
        with serve(self.folder, envelope="json") as model:
            self.assertEqual(200, model.predict(json_body({"instances": [{"instances": [1, 2]}]})).status)
        self.assertIn(b"INT64", infer({"x": Array()}).body)

    def test_what_is_no_handler(self) -> None:
        for place, error in ((self.folder / "no.mar", ArchiveNotFound), (self.folder.parent, ArchiveInvalid)):
            with pytest.raises(error), serve(place):
                pass

    def test_settings_of_the_other_way_are_refused(self) -> None:
        with pytest.raises(TypeError), serve(self.folder, worker=True, config={}):
            pass
        with pytest.raises(TypeError), serve(self.folder, max_batch_delay=3):
            pass


class MockContextTests(SynchronousTestCase):
    """A context for handlers that a test calls by itself."""

    def test_knows_its_requests_and_what_was_set(self) -> None:
        context = MockContext("/models", batch_size=2, serialized_file="w.pt", headers=[{"Lang": "de"}])
        self.assertEqual("/models", context.system_properties["model_dir"])
        assert context.manifest is not None
        self.assertEqual({"modelName": "model", "serializedFile": "w.pt"}, context.manifest["model"])
        self.assertEqual("de", context.get_request_header(0, "lang"))
        self.assertIsNone(context.get_request_header(1, "lang"))
        context.set_response_status(400, "Bad Request", 1)
        self.assertEqual((400, "Bad Request"), context.get_response_status(1))
        assert context.send_parts is not None
        context.send_parts(["a", "b"])
        self.assertEqual([["a", "b"]], context.parts)
