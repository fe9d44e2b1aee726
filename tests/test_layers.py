"""The architecture's rules about who may import what, read from the source; a cycle cannot land."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from unittest import TestCase

from tests.harness.source import (
    Import,
    at_the_top,
    circles,
    imports,
    is_in,
    long_files,
    long_functions,
    modules,
    nodes,
    of_ours,
    repeated_classes,
    targets,
)

WORDS, FORMATS, CORE_OR_PROVIDER, USE_CASE, FRONT, COMPOSITION = range(6)
WORKER = -1
"""What runs in worker processes is beside the layers, with rules of its own."""

PLACES = {
    "modelserver": WORDS,
    "modelserver.archive": FORMATS,
    "modelserver.protocol": FORMATS,
    "modelserver.system": FORMATS,
    "modelserver.backends": CORE_OR_PROVIDER,
    "modelserver.core": CORE_OR_PROVIDER,
    "modelserver.logs": CORE_OR_PROVIDER,
    "modelserver.metrics": CORE_OR_PROVIDER,
    "modelserver.sources": CORE_OR_PROVIDER,
    "modelserver.tracing": CORE_OR_PROVIDER,
    "modelserver.autoscale": USE_CASE,
    "modelserver.execution": USE_CASE,
    "modelserver.inference": USE_CASE,
    "modelserver.management": USE_CASE,
    "modelserver.security": USE_CASE,
    "modelserver.http1": FRONT,
    "modelserver.rest": FRONT,
    "modelserver.rest.dashboard": FRONT,
    "modelserver.rpc": FRONT,
    "modelserver.cli": COMPOSITION,
    "modelserver.config": COMPOSITION,
    "modelserver.server": COMPOSITION,
    "modelserver.tap": COMPOSITION,
    "modelserver.__main__": COMPOSITION,
    "modelserver.pytest_plugin": COMPOSITION,
    "modelserver.testing": COMPOSITION,
    "modelserver.child": WORKER,
    "modelserver.compat": WORKER,
    "modelserver.examples": WORKER,
    "modelserver.devices": WORDS,
    "modelserver.dialect_rules": WORDS,
    "modelserver.errors": WORDS,
    "modelserver.interfaces": WORDS,
    "modelserver.jobs": WORDS,
    "modelserver.language": WORDS,
    "modelserver.spec": WORDS,
    "modelserver.traces": WORDS,
    "modelserver.version_settings": WORDS,
    "modelserver.workflows": WORDS,
}
"""Every module's place: that of the longest prefix that is named here."""

CORE = ("modelserver.core",)
PROVIDERS = (
    "modelserver.backends",
    "modelserver.logs",
    "modelserver.metrics",
    "modelserver.sources",
    "modelserver.tracing",
)
FOR_WORKERS = (
    "modelserver.archive",
    "modelserver.child",
    "modelserver.compat",
    "modelserver.dialect_rules",
    "modelserver.errors",
    "modelserver.jobs",
    "modelserver.language",
    "modelserver.protocol",
    "modelserver.spec",
    "modelserver.version_settings",
    "modelserver.system.bounded_cache",
    "modelserver.system.cgroups",
    "modelserver.system.cpus",
    "modelserver.system.exit_descriptor",
    "modelserver.system.installation",
)
"""What may be loaded in a worker process; ``jobs`` because frames carry its answers."""

HANDLERS = ("modelserver.child.handlers", "modelserver.compat", "modelserver.examples")
"""User code, or what user code subclasses: it may import torch, and unpickle what it was given."""

RUNS_HANDLERS = ("modelserver.testing",)
"""What calls handlers as a worker does, in the process of their own tests."""

LATER = (
    *("OpenSSL", "cryptography", "twisted.protocols.tls", "twisted.web.client", "botocore", "jks"),
    *("ngh2", "google.protobuf", "modelserver.rpc.connection", "modelserver.rpc.site"),
    *("ray", "modelserver.backends.ray", "modelserver.server.cluster"),
    *("prometheus_client", "psutil", "pynvml", "opentelemetry", "modelserver.tracing.tracer", "rich"),
    *("twisted.web", "twisted.spread", "twisted.internet.endpoints", "multipart", "modelserver.rest.tracing"),
    *("h2", "klein", "werkzeug", "modelserver.server.routes", "modelserver.rest.management.handlers"),
)
"""
What a server loads when it is needed, for TLS, downloads, gRPC, GPUs, traces, routes beside predictions;
and what commands load.
"""
TENSORS = ("numpy", "torch")
PICKLES = ("cloudpickle", "dill", "marshal", "pickle", "shelve")


def place(module: str) -> int:
    """
    The layer of a module.

    :raises KeyError: nothing says where it belongs.
    """
    name = module
    while name not in PLACES:
        name = name.rpartition(".")[0]
    if name == "modelserver" != module:
        raise KeyError(f"say in PLACES where {module} belongs")
    return PLACES[name]


class LayerTests(TestCase):
    """What the source imports."""

    def assert_none(self, wrong: Iterator[Import]) -> None:
        """Fail with every import that breaks the rule."""
        self.assertEqual([], [str(found) for found in wrong])

    def test_every_module_has_a_place(self) -> None:
        for module in modules():
            with self.subTest(module):
                place(module)

    def test_imports_are_absolute(self) -> None:
        self.assert_none(found for found in imports() if found.target.startswith("."))

    def test_imports_lead_to_modules_that_exist(self) -> None:
        self.assert_none(found for found, target in of_ours() if target not in modules())

    def test_imports_point_down(self) -> None:
        self.assert_none(
            found
            for found, target in of_ours()
            if place(found.module) != WORKER
            and place(target) not in range(place(found.module) + 1)
            and not (is_in(found.module, RUNS_HANDLERS) and place(target) == WORKER)
        )

    def test_core_and_providers_do_not_know_each_other(self) -> None:
        self.assert_none(
            found
            for found, target in of_ours()
            if (is_in(found.module, CORE) and is_in(target, PROVIDERS))
            or (is_in(found.module, PROVIDERS) and is_in(target, CORE))
        )

    def test_workers_know_only_words_and_formats(self) -> None:
        self.assert_none(
            found
            for found, target in of_ours()
            if is_in(found.module, ("modelserver.child", "modelserver.compat"))
            and not is_in(target, FOR_WORKERS)
            and target != "modelserver"
        )

    def test_workers_have_no_twisted(self) -> None:
        self.assert_none(
            found
            for found in imports()
            if place(found.module) == WORKER and is_in(found.target, ("twisted", "zope"))
        )

    def test_words_that_workers_read_have_no_twisted(self) -> None:
        self.assert_none(
            found
            for found in imports()
            if is_in(found.module, FOR_WORKERS) and is_in(found.target, ("twisted", "zope"))
        )

    def test_workers_start_without_torch(self) -> None:
        self.assert_none(
            found
            for found in imports()
            if place(found.module) == WORKER
            and found.at_start
            and is_in(found.target, TENSORS)
            and not is_in(found.module, HANDLERS)
        )

    def test_server_has_no_tensors(self) -> None:
        self.assert_none(
            found for found in imports() if place(found.module) != WORKER and is_in(found.target, TENSORS)
        )

    def test_only_handlers_unpickle(self) -> None:
        self.assert_none(
            found for found in imports() if is_in(found.target, PICKLES) and not is_in(found.module, HANDLERS)
        )

    def test_only_tap_imports_the_reactor(self) -> None:
        self.assert_none(
            found
            for found in imports()
            if is_in(found.target, ("twisted.internet.reactor",)) and found.module != "modelserver.tap"
        )

    def test_no_circles(self) -> None:
        self.assertEqual([], circles())

    def test_functions_are_short(self) -> None:
        self.assertLessEqual(len(long_functions()), 3, long_functions())

    def test_class_names_stand_once(self) -> None:
        self.assertEqual({}, repeated_classes())

    def test_the_top_is_small(self) -> None:
        self.assertLessEqual(len(at_the_top()), 10)

    def test_no_module_is_too_long(self) -> None:
        self.assertEqual({}, long_files())


class ReaderTests(TestCase):
    """The reader of imports itself sees what it must."""

    def read(self, source: str) -> list[tuple[str, bool]]:
        """What the reader sees in a source."""
        return [(target, at_start) for node, at_start in nodes(ast.parse(source)) for target in targets(node)]

    def test_finds_imports_wherever_they_stand(self) -> None:
        source = "import a.b\nif True:\n    from c import d\ndef f():\n    from e.f import g, h\n"
        self.assertEqual(
            [("a.b", True), ("c.d", True), ("e.f.g", False), ("e.f.h", False)], self.read(source)
        )

    def test_sees_relative_imports(self) -> None:
        self.assertEqual([(".x", True), ("..y.z", True)], self.read("from . import x\nfrom ..y import z"))

    def test_longest_prefix_decides(self) -> None:
        self.assertEqual(WORDS, place("modelserver"))
        self.assertEqual(FRONT, place("modelserver.rest.dialects.torchserve"))
        with self.assertRaises(KeyError):
            place("modelserver.nowhere")


class ImportTimeTests(TestCase):
    """What the processes load when they start."""

    def loaded_by(self, module: str) -> set[str]:
        """The top-level packages that a fresh interpreter loads with this module."""
        ran = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", f"import {module}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(0, ran.returncode, ran.stderr[-2000:])
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
        self.assertIn("modelserver", loaded)
        return loaded

    def test_server_starts_without_torch_and_numpy(self) -> None:
        for module in ("modelserver.tap", "modelserver.server.service"):
            with self.subTest(module):
                self.assertEqual(set(), self.loaded_by(module) & {*TENSORS, "PIL"})

    def test_server_loads_what_few_need_when_it_is_needed(self) -> None:
        program = (
            "import modelserver.tap as tap; tap.install_reactor(); import modelserver.server.service, sys; "
            "print([name for name in sys.argv[1:] if sys.modules.get(name) is not None])"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program, *LATER],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(("[]", ""), (ran.stdout.strip(), ran.stderr[-2000:]))

    def test_agents_of_nodes_start_without_twisted_and_ray(self) -> None:
        unwanted = {*TENSORS, "PIL", "twisted", "zope", "ray"}
        self.assertEqual(set(), self.loaded_by("modelserver.backends.ray.node") & unwanted)

    def test_worker_starts_without_torch_numpy_and_twisted(self) -> None:
        self.assertEqual(
            set(), self.loaded_by("modelserver.child.process.main") & {*TENSORS, "PIL", "twisted", "zope"}
        )
