"""Exported programs and compiled packages as models of the handlers."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import zipfile
from typing import Any

from twisted.trial.unittest import SkipTest

from modelserver.archive.pt2_section import BatchBounds
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.batch_bounds import BoundedModel
from modelserver.child.handlers.compiled_packages import CHECK_INPUTS, load_package, package_facts
from modelserver.child.handlers.image_classifier import ImageClassifier
from tests.child.handlers.test_base_handler import ArchiveTestCase
from tests.harness.packages import needs_torch

CHECK = """
if (2 != arg0_1_size[0]) {
    ss << "input_handles[0]: unmatched dim value at 0, "
       << "expected: 2, " << "but got: " << arg0_1_size[0] << "\\n";
"""
RANGE = """
ss << "input_handles[0]: dim value is too small at 0, "
   << "expected it to be >= 2, " << "but got: "
ss << "input_handles[0]: dim value is too large at 0, "
   << "expected to be <= %d, " << "but got: "
ss << "input_handles[1]: unmatched dim value at 0, "
   << "expected: 9, " << "but got: "
"""


class PackageFactsTests(ArchiveTestCase):
    """What a package says without being loaded."""

    def package(self, files: dict[str, str]) -> str:
        """A file like a package of the model "model"."""
        path = self.folder / "model.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in files.items():
                archive.writestr(f"m/data/aotinductor/{name}", text)
        return str(path)

    def test_device_and_batch(self) -> None:
        for source, bounds in (
            (CHECK, BatchBounds(2, 2)),
            (RANGE % 16, BatchBounds(2, 16)),
            (RANGE % (2**63 - 1), BatchBounds(2, None)),
            ("", None),
        ):
            path = self.package(
                {
                    "model/x.so": "",
                    "model/x.wrapper.cpp": source,
                    "model/x_metadata.json": json.dumps({"AOTI_DEVICE_KEY": "cpu"}),
                }
            )
            self.assertEqual(package_facts(path), ("model", "cpu", bounds), source)

    def test_one_model_by_any_name_several_by_the_usual_one(self) -> None:
        self.assertEqual(package_facts(self.package({"mine/x.so": ""})).model, "mine")
        self.assertEqual(package_facts(self.package({"a/x.so": "", "model/x.so": ""})).model, "model")
        self.assertRaises(ValueError, package_facts, self.package({"a/x.so": "", "b/x.so": ""}))

    def test_sources_alone_are_refused_for_they_would_be_compiled(self) -> None:
        error = self.assertRaises(ValueError, package_facts, self.package({"model/x.cpp": ""}))
        self.assertIn("sources only", str(error))


@needs_torch
class ExportedProgramTests(ArchiveTestCase):
    """Programs of torch.export."""

    def save_program(self, name: str, rows: int = 2, most: int | None = None) -> None:
        """Put a program that doubles into the archive: for one batch size, or for 1 to ``most``."""
        import torch

        class Twice(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.factor = torch.nn.Parameter(torch.tensor(2.0))

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * self.factor

        shapes = None if most is None else ({0: torch.export.Dim("batch", min=1, max=most)},)
        program = torch.export.export(Twice(), (torch.ones(rows, 2),), dynamic_shapes=shapes)
        torch.export.save(program, str(self.folder / "program.pt2"))
        shutil.move(self.folder / "program.pt2", self.folder / name)

    def answers(self, handler: BaseHandler, rows: int) -> Any:
        """What the handler makes of rows."""
        return handler.handle([{"body": [float(row), 1.0]} for row in range(rows)], self.context_for(rows))

    def doubled(self, rows: int) -> list[list[float]]:
        """What it is to make of them."""
        return [[2.0 * row, 2.0] for row in range(rows)]

    def test_fixed_batch_is_cut_and_padded_and_told(self) -> None:
        self.save_program("model.pt")
        with self.assertLogs("modelserver.child.handlers.programs", logging.INFO) as logged:
            handler = self.loaded(serializedFile="model.pt")
        self.assertEqual(
            [record.getMessage() for record in logged.records],
            [
                "The model takes batches of exactly 2; batchSize is 1. "
                "Smaller ones are padded, larger ones are cut."
            ],
        )
        for rows in (1, 2, 3):
            self.assertEqual(self.answers(handler, rows), self.doubled(rows))

    def test_bounds_of_a_dynamic_batch(self) -> None:
        self.save_program("model.pt2", most=4)
        handler = self.loaded(serializedFile="model.pt2")
        self.assertEqual(handler.model.bounds.most, 4)
        for rows in (1, 4, 9):
            self.assertEqual(self.answers(handler, rows), self.doubled(rows))

    def test_declared_batch(self) -> None:
        self.save_program("model.pt2", most=4)
        handler = self.loaded(serializedFile="model.pt2", config={"pt2": {"batch": {"min": 2, "max": 3}}})
        self.assertEqual(handler.model.bounds, BatchBounds(2, 3))
        self.assertEqual(self.answers(handler, 4), self.doubled(4))
        config = {"pt2": {"batch": 8}}
        error = self.assertRaises(ValueError, self.loaded, serializedFile="model.pt2", config=config)
        self.assertIn("exactly 8", str(error))

    def test_device_and_the_way_it_runs(self) -> None:
        self.save_program("model.pt2")
        config = {"pt2": {"device": "cpu", "run": "compiled", "compile": {"backend": "eager"}}}
        with self.assertLogs("modelserver.child.handlers.compilation", logging.INFO) as logged:
            handler = self.loaded(serializedFile="model.pt2", config=config)
        self.assertEqual(logged.records[0].getMessage(), "Compiled model with backend eager")
        self.assertEqual(self.answers(handler, 3), self.doubled(3))

    def test_wrong_options_are_refused(self) -> None:
        self.save_program("model.pt2")
        sections: tuple[object, ...] = ({"run": "sideways"}, {"batches": 2}, {"device": 0}, ["cpu"])
        for section in sections:
            config = {"pt2": section}
            error = self.assertRaises(ValueError, self.loaded, serializedFile="model.pt2", config=config)
            self.assertTrue(str(error).startswith("pt2"), error)

    def test_images(self) -> None:
        import torch

        class Sums(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x.sum(dim=(2, 3))

        program = torch.export.export(Sums(), (torch.ones(2, 3, 4, 4),))
        torch.export.save(program, str(self.folder / "model.pt2"))
        handler = self.loaded(ImageClassifier(), serializedFile="model.pt2")
        image = torch.rand(3, 4, 4)
        (answer,) = handler.handle([{"body": image.tolist()}], self.context)
        wanted = image.sum(dim=(1, 2)).softmax(dim=0)
        self.assertEqual(len(answer), 3)
        for name, value in answer.items():
            self.assertAlmostEqual(value, float(wanted[int(name)]), places=4)


@needs_torch
class SafetensorsTests(ArchiveTestCase):
    """Weights in the format of safetensors."""

    def test_weights_of_a_model_file(self) -> None:
        try:
            from safetensors.torch import save_file
        except ImportError:
            raise SkipTest("needs safetensors") from None
        import torch

        self.write_model()
        save_file({"factor": torch.tensor(3.0)}, str(self.folder / "weights.bin"))
        handler = self.loaded(modelFile="double_model.py", serializedFile="weights.bin")
        self.assertEqual(handler.handle([{"body": [1.0]}], self.context), [[3.0]])

    def test_without_the_library_it_is_told_what_to_install(self) -> None:
        modules: dict[str, Any] = sys.modules  # None in it says that there is no such module
        before = dict(modules)
        self.addCleanup(modules.update, before)
        for name in ("safetensors", "safetensors.torch"):
            self.addCleanup(modules.pop, name)
            modules[name] = None
        self.write_model()
        (self.folder / "weights.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        error = self.assertRaises(
            ImportError, self.loaded, modelFile="double_model.py", serializedFile="weights.safetensors"
        )
        self.assertIn("pip install safetensors", str(error))


@needs_torch
class CompiledPackageTests(ArchiveTestCase):
    """Packages of AOTInductor; making one takes a compiler and up to a minute."""

    def make_package(self) -> None:
        """Put a package that doubles batches of exactly two into the archive."""
        if os.environ.get("MODELSERVER_COMPILES") != "1":
            raise SkipTest("compiles: MODELSERVER_COMPILES=1 has it run")
        if shutil.which("g++") is None and shutil.which("clang++") is None:
            raise SkipTest("needs a C++ compiler")
        import torch

        class Twice(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x * 2

        program = torch.export.export(Twice(), (torch.ones(2, 2),))
        torch._inductor.aoti_compile_and_package(program, package_path=str(self.folder / "made.pt2"))
        shutil.move(self.folder / "made.pt2", self.folder / "model.bin")

    def test_served_without_a_compiler(self) -> None:
        self.make_package()
        facts = package_facts(str(self.folder / "model.bin"))
        self.assertEqual(facts, ("model", "cpu", BatchBounds(2, 2)))
        self.addCleanup(os.environ.__setitem__, "PATH", os.environ["PATH"])
        os.environ["PATH"] = ""
        handler = self.loaded(serializedFile="model.bin")
        self.assertIsInstance(handler.model, BoundedModel)
        for rows in (1, 2, 3):
            batch = [{"body": [float(row), 1.0]} for row in range(rows)]
            answer = handler.handle(batch, self.context_for(rows))
            self.assertEqual(answer, [[2.0 * row, 2.0] for row in range(rows)])
        # Another width is an error of the request, not numbers from beyond the input.
        self.assertRaises(RuntimeError, handler.handle, [{"body": [1.0, 2.0, 3.0]}] * 2, self.context_for(2))

    def test_wrong_options_are_refused_before_it_is_opened(self) -> None:
        with zipfile.ZipFile(self.folder / "model.bin", "w") as archive:
            archive.writestr("m/data/aotinductor/model/x.so", "")
        for section in ({"run": "sideways"}, {"batches": 2}):
            config = {"pt2": section}
            error = self.assertRaises(ValueError, self.loaded, serializedFile="model.bin", config=config)
            self.assertTrue(str(error).startswith("pt2"), error)

    def test_package_for_another_device_is_refused(self) -> None:
        self.make_package()
        config = {"pt2": {"device": "meta"}}
        error = self.assertRaises(ValueError, self.loaded, serializedFile="model.bin", config=config)
        self.assertIn("compiled for cpu", str(error))

    def test_torch_without_the_direct_loader(self) -> None:
        self.make_package()
        import torch

        def another_signature(path: str, model: str) -> object:
            raise AssertionError("never called")

        path = str(self.folder / "model.bin")
        for find in (lambda: None, lambda: another_signature):
            with self.assertLogs("modelserver.child.handlers.compiled_packages", logging.INFO) as logged:
                model = load_package(path, torch.device("cpu"), "model", find)
            self.assertEqual(len(logged.records), 1)
            self.assertEqual(model(torch.ones(2, 2)).tolist(), [[2.0, 2.0]] * 2)
        self.assertEqual(os.environ[CHECK_INPUTS], "1")
