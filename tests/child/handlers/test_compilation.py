"""What the section ``pt2`` of model-config.yaml asks of torch.compile."""

from __future__ import annotations

import logging

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.pt2_section import compile_options
from modelserver.child.handlers.compilation import (
    check_valid_pt2_backend,
    compiled,
    uses_ahead_of_time,
)


class CompilationTests(SynchronousTestCase):
    """The forms of ``pt2``."""

    def test_options(self) -> None:
        for section, options in (
            (None, None),
            ("inductor", {"backend": "inductor"}),
            ({}, None),
            ({"compile": {"enable": True}}, {}),
            ({"compile": {"enable": False, "backend": "eager"}}, None),
            ({"compile": {"backend": "eager"}}, None),
            (
                {"compile": {"enable": True, "backend": "eager", "mode": "reduce-overhead"}},
                {"backend": "eager", "mode": "reduce-overhead"},
            ),
            ({"backend": "inductor", "mode": "default"}, {"backend": "inductor", "mode": "default"}),
            ({"export": {"aot_compile": True}}, None),
            (["what"], None),
        ):
            self.assertEqual(compile_options({} if section is None else {"pt2": section}), options, section)

    def test_ahead_of_time(self) -> None:
        self.assertTrue(uses_ahead_of_time({"pt2": {"export": {"aot_compile": True}}}))
        sections: tuple[object, ...] = ("inductor", {}, {"export": {}}, {"export": {"aot_compile": False}})
        for section in sections:
            self.assertFalse(uses_ahead_of_time({"pt2": section}))

    def test_compiler_gets_the_options(self) -> None:
        self.assertEqual(
            compiled("model", {"pt2": "eager"}, lambda model, **options: (model, options)),
            ("model", {"backend": "eager"}),
        )

    def test_log_tells_how_as_the_peer_does(self) -> None:
        for section, told in (
            ("inductor", "Compiled model with backend inductor"),
            (
                {"backend": "eager", "mode": "reduce-overhead"},
                "Compiled model with backend eager, mode reduce-overhead",
            ),
            ({"compile": {"enable": True}}, "Compiled model with backend inductor"),
        ):
            with self.assertLogs("modelserver.child.handlers.compilation", logging.INFO) as logged:
                compiled("model", {"pt2": section}, lambda model, **options: model)
            self.assertEqual([record.getMessage() for record in logged.records], [told])

    def test_model_is_left_alone_unless_asked(self) -> None:
        self.assertEqual(compiled("model", {}, lambda model, **options: "compiled"), "model")

    def test_failure_is_only_logged(self) -> None:
        def fail(model: object, **options: object) -> object:
            raise RuntimeError("no compiler here")

        logger = logging.getLogger("modelserver.child.handlers.compilation")
        logger.disabled = True
        self.addCleanup(setattr, logger, "disabled", False)
        self.assertEqual(compiled("model", {"pt2": "bogus"}, fail), "model")

    def test_known_backends(self) -> None:
        self.assertTrue(check_valid_pt2_backend("inductor"))
