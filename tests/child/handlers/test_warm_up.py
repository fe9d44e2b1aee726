"""Models are called before they are ready, if model-config.yaml says how."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.warm_up_section import read_warm_up
from modelserver.child.context import Context
from modelserver.child.data.refusals import RowsRefused
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.warm_up import MOST_CALLS, run_warm_up
from tests.child.handlers.test_base_handler import ArchiveTestCase
from tests.harness.packages import needs_torch

LOGGER = "modelserver.child.handlers.warm_up"


class SectionTests(SynchronousTestCase):
    """The section ``warmup``."""

    def test_defaults(self) -> None:
        self.assertEqual(read_warm_up({"shapes": [[3, 8]]}, 4), ([[3, 8]], "float32", None, [1, 4], None))
        self.assertEqual(read_warm_up({"file": "x.json"}, 1).batch_sizes, [1])
        self.assertEqual(read_warm_up({"file": "x.json"}, None).batch_sizes, [1])

    def test_refused(self) -> None:
        sections: tuple[dict[str, object], ...] = (
            {},
            {"shapes": [[1]], "file": "x"},
            {"shapes": [1]},
            {"shapes": []},
            {"shapes": [[-1]]},
            {"file": 3},
            {"shapes": [[1]], "batchSizes": [0]},
            {"shapes": [[1]], "batchSizes": 4},
            {"shapes": [[1]], "calls": 0},
            {"shapes": [[1]], "shape": [1]},
        )
        for section in sections:
            with self.subTest(section=section):
                self.assertRaises(ValueError, read_warm_up, section, 1)


class Counting:
    """A handler for one body, each of whose calls takes as long as the test says; it is its own clock."""

    def __init__(self, *seconds: float) -> None:
        self.now = 0.0
        self.calls = 0
        self._seconds = seconds

    def preprocess(self, rows: object) -> object:
        """Take no time."""
        return rows

    def inference(self, rows: object) -> object:
        """Let time pass: the last number holds for all further calls."""
        self.now += self._seconds[min(self.calls, len(self._seconds) - 1)]
        self.calls += 1
        return rows

    postprocess = preprocess

    def warmed(self, section: dict[str, object]) -> int:
        """How many calls the section makes of it."""
        with TemporaryDirectory() as folder:
            (Path(folder) / "x.json").write_text("1")
            context = Context("m", folder, None, 1, None, "1")
            run_warm_up(self, read_warm_up({"file": "x.json", **section}, 1), context, lambda: self.now)
        return self.calls


class CallsTests(SynchronousTestCase):
    """How often."""

    def test_quick_calls_go_on_until_they_have_settled(self) -> None:
        self.assertEqual(Counting(30.0, 0.02).warmed({}), 2 + 12)
        self.assertEqual(Counting(30.0, 0.001).warmed({}), MOST_CALLS)

    def test_slow_calls_are_made_twice(self) -> None:
        self.assertEqual(Counting(30.0, 0.3).warmed({}), 2)

    def test_number_that_is_asked_for_is_made(self) -> None:
        self.assertEqual(Counting(0.001).warmed({"calls": 3}), 3)
        self.assertEqual(Counting(9.0).warmed({"calls": 4, "batchSizes": [1, 2]}), 8)


class Recording(BaseHandler):
    """Notes the sizes and values that its model is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def inference(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Note them."""
        self.seen.append([tuple(value.shape) for value in (data, *args)])
        return super().inference(data)


@needs_torch
class WarmUpTests(ArchiveTestCase):
    """The calls."""

    def warmed(self, **section: object) -> Recording:
        """A handler that was loaded and warmed up."""
        self.write_model()
        handler = Recording()
        self.loaded(handler, modelFile="double_model.py", config={"warmup": section})
        handler.warm_up(self.context)
        return handler

    def test_shapes_for_each_batch_size(self) -> None:
        with self.assertLogs(LOGGER, logging.INFO) as logged:
            handler = self.warmed(shapes=[[3], [2, 2]], batchSizes=[1, 4], calls=1)
        self.assertEqual(handler.seen, [[(1, 3), (1, 2, 2)], [(4, 3), (4, 2, 2)]])
        self.assertRegex(logged.records[0].getMessage(), r"Warmed up with batches of 1, 4 in [\d.]+ s\.")

    def test_whole_numbers(self) -> None:
        self.assertEqual(self.warmed(shapes=[[3]], dtype="int64", calls=3).seen, [[(1, 3)]] * 3)
        self.assertRaises(ValueError, self.warmed, shapes=[[3]], dtype="load")

    def test_request_in_a_file_goes_through_all_steps(self) -> None:
        (self.folder / "example.json").write_text(json.dumps([1.0, 2.0]))
        self.assertEqual(self.warmed(file="example.json", batchSizes=[3], calls=1).seen, [[(3, 2)]])

    def enveloped(self, name: str, document: object, **section: object) -> Recording:
        """A handler behind an envelope that was warmed up with a request."""
        (self.folder / "example.json").write_text(json.dumps(document))
        self.write_model()
        handler = Recording()
        config: dict[str, object] = {"warmup": {"file": "example.json", **section}}
        self.loaded(handler, modelFile="double_model.py", config=config)
        self.context.envelope = name
        self.context.request_processor = []
        handler.warm_up(self.context)
        return handler

    def test_request_in_an_envelope_is_opened_as_others_are(self) -> None:
        tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1.0, 2.0]}
        for name, document, shape in (
            ("kserve", {"instances": [[1.0, 2.0], [3.0, 4.0]]}, (6, 2)),
            ("json", {"instances": [[1.0, 2.0]]}, (3, 2)),
            ("kservev2", {"inputs": [tensor]}, (3, 2)),
            ("body", [1.0, 2.0], (3, 2)),
        ):
            with self.subTest(envelope=name):
                handler = self.enveloped(name, document, batchSizes=[3], calls=1)
                self.assertEqual(handler.seen, [[shape]])
                self.assertEqual(handler.context.request_processor, [])

    def test_request_that_its_envelope_or_the_handler_refuses_fails(self) -> None:
        for name, document, told in (
            ("kserve", [1.0, 2.0], 'The request is not JSON with a list of "instances".'),
            ("kserve", {"instances": ["no tensor"]}, "The request cannot be read"),
            ("kservev2", {"instances": []}, 'The request is not JSON with a list of "inputs".'),
        ):
            with self.subTest(document=document):
                error = self.assertRaises(ValueError, self.enveloped, name, document, calls=1)
                self.assertIn(f"the envelope {name} refuses the file: {told}", str(error))

    def test_tensors_in_a_file(self) -> None:
        import torch

        torch.save([torch.ones(3), torch.ones(2)], self.folder / "example.pt")
        handler = self.warmed(file="example.pt", batchSizes=[2], calls=1)
        self.assertEqual(handler.seen, [[(2, 3), (2, 2)]])
        torch.save({"x": 1}, self.folder / "example.pt")
        self.assertRaises(ValueError, self.warmed, file="example.pt")

    def test_failure_comes_out_and_is_told(self) -> None:
        (self.folder / "example.json").write_text('"no tensor"')
        with self.assertLogs(LOGGER, logging.ERROR) as logged:
            self.assertRaises(RowsRefused, self.warmed, file="example.json", batchSizes=[5])
        self.assertEqual(logged.records[0].getMessage(), "The warm-up with a batch of 5 has failed.")

    def test_file_that_is_not_there(self) -> None:
        error = self.assertRaises(ValueError, self.warmed, file="absent.json")
        self.assertEqual(str(error), "warmup: file names absent.json, which is not in the archive")

    def test_what_cannot_be_compiled_fails(self) -> None:
        import torch

        def no_compiler(graph: object, examples: object) -> object:
            raise OSError("no compiler here")

        class Compiled(Recording):
            def _load_pickled_model(self, *args: Any) -> Any:
                return torch.compile(super()._load_pickled_model(*args), backend=no_compiler)

        import torch._dynamo
        from torch._dynamo.exc import BackendCompilerFailed

        before = torch._dynamo.config.suppress_errors
        torch._dynamo.config.suppress_errors = True
        self.addCleanup(setattr, torch._dynamo.config, "suppress_errors", before)
        self.write_model()
        handler = self.loaded(Compiled(), modelFile="double_model.py", config={"warmup": {"shapes": [[2]]}})
        error = self.assertRaises(BackendCompilerFailed, handler.warm_up, self.context)
        self.assertIn("no compiler here", str(error))
        # Outside of it, the model runs as it is.
        self.assertEqual(handler.handle([{"body": [1.0]}], self.context), [[2.0]])

    def test_no_section_no_calls(self) -> None:
        self.write_model()
        handler = Recording()
        self.loaded(handler, modelFile="double_model.py", config={"warmup": "handlers own"})
        handler.warm_up(self.context)
        self.assertEqual(handler.seen, [])
