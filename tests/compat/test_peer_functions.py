"""What the functions of the peers' rarer modules do here."""

from __future__ import annotations

import json
import queue
import socket
import struct
import subprocess
import sys
import threading
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import numpy

from modelserver.child.context import Context
from tests.compat.test_peer_names import NamesTestCase, found

HANDLER = """
class Doubles:
    def initialize(self, context):
        self.name = context.model_name

    def handle(self, data, context):
        return [f"{self.name} {row['body'] * 2}" for row in data]
"""
FUNCTION = """
seen = []

def answer(data, context):
    seen.append(data)
    return data and [len(data)]
"""
OLD = """
from mms.model_service.mxnet_model_service import SingleNodeService

class Service(SingleNodeService):
    def _inference(self, data):
        return [data[0] + 1]
"""


def counted(text: bytes) -> bytes:
    """A text after its length."""
    return struct.pack(">i", len(text)) + text


END = struct.pack(">i", -1)


class LoaderTests(NamesTestCase):
    """The peers' loaders, with archives that are folders."""

    def archive(self, module: str, source: str, manifest: str = "MAR-INF/MANIFEST.json") -> str:
        """A folder with a handler, which is on the path."""
        folder = Path(self.mktemp()).absolute()
        (folder / manifest).parent.mkdir(parents=True)
        (folder / manifest).write_text(json.dumps({"model": {"modelName": "m"}}))
        (folder / f"{module}.py").write_text(source)
        sys.path.insert(0, str(folder))
        self.addCleanup(sys.path.remove, str(folder))
        self.addCleanup(sys.modules.pop, module, None)
        return str(folder)

    def predicted(self, service: Any, body: object) -> bytes:
        """What a service answers to one request."""
        parameters = [{"name": "body", "contentType": "", "value": body}]
        return bytes(service.predict([{"requestId": b"id", "headers": [], "parameters": parameters}]))

    def test_class(self) -> None:
        folder = self.archive("doubles_handler", HANDLER)
        for factory in ("ts", "mms"):
            made = found(f"{factory}.model_loader.ModelLoaderFactory").get_model_loader
            loader = made() if factory == "ts" else made(folder)
            service = loader.load("m", folder, "doubles_handler.py", None, 1)
            self.assertIn(b"m abab", self.predicted(service, "ab"))
            self.assertEqual(service.context.manifest, {"model": {"modelName": "m"}})

    def test_function_is_called_without_data_first(self) -> None:
        folder = self.archive("answer_handler", FUNCTION)
        loader = found("mms.model_loader.ModelLoaderFactory").get_model_loader(folder)
        service = loader.load("m", folder, "answer_handler:answer", None, 1)
        self.assertEqual(loader.module.seen, [None])
        self.assertIn(b"1", self.predicted(service, "x"))
        module = loader.module
        loader.unload()
        self.assertFalse(hasattr(module, "seen"))

    def test_envelope(self) -> None:
        folder = self.archive("instances_handler", HANDLER.replace("row['body']", "row"))
        loader = found("ts.model_loader.TsModelLoader")()
        service = loader.load("m", folder, "instances_handler", envelope="kserve")
        self.assertIn(b"m 33", self.predicted(service, '{"instances": ["3"]}'))

    def test_service_of_the_oldest_archives(self) -> None:
        folder = self.archive("old_service", OLD, "MANIFEST.json")
        loader = found("mms.model_loader.ModelLoaderFactory").get_model_loader(folder)
        self.assertEqual(type(loader).__name__, "LegacyModelLoader")
        service = loader.load("m", folder, "old_service", None, 1)
        self.assertIn(b"8", self.predicted(service, 7))

    def test_what_is_missing(self) -> None:
        folder = self.archive("empty_handler", "")
        loader = found("ts.model_loader.TsModelLoader")()
        self.assertRaises(ImportError, loader.load, "m", folder, "absent_handler")
        self.assertRaises(ValueError, loader.load, "m", folder, "empty_handler")


class MessageTests(NamesTestCase):
    """Messages as the Java servers send them."""

    def read(self, peer: str, message: bytes) -> Any:
        """What the peer's function makes of a message."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(message)
            ours.shutdown(socket.SHUT_WR)
            return found(f"{peer}.protocol.otf_message_handler.retrieve_msg")(theirs)

    def test_load(self) -> None:
        message = b"L" + counted(b"m") + counted(b"/d") + struct.pack(">i", 4) + counted(b"h") + END
        told: dict[str, object] = {"modelName": b"m", "modelPath": b"/d", "batchSize": 4, "handler": b"h"}
        files = {"ioFileDescriptor": b"77"}
        self.assertEqual(self.read("mms", message + counted(b"77")), (b"L", told | files))
        more = message[:-4] + struct.pack(">i", 1) + counted(b"json") + b"\1"
        told |= {"gpu": 1, "envelope": b"json", "limitMaxImagePixels": True}
        self.assertEqual(self.read("ts", more), (b"L", told))

    def test_requests(self) -> None:
        field = counted(b"body") + counted(b"application/json")
        request = counted(b"id") + counted(b"A") + counted(b"b") + END
        message = b"I" + request + field + counted(b'{"a": 1}') + field + counted(b"{") + END + END
        kind, (read,) = self.read("ts", message)
        self.assertEqual(
            (kind, read["requestId"], read["headers"]), (b"I", b"id", [{"name": b"A", "value": b"b"}])
        )
        self.assertEqual([one["value"] for one in read["parameters"]], [{"a": 1}, b"{"])

    def test_neither(self) -> None:
        for message in (b"X", b"", b"L\0"):
            self.assertRaises(ValueError, self.read, "ts", message)


class ArgumentTests(NamesTestCase):
    """The commands' arguments."""

    def test_torchserve(self) -> None:
        parsed = found("ts.arg_parser.ArgParser").extract_args(
            ["--start", "--model-store", "s", "--models", "a", "b=c", "--ncs", "--dt", "--enable-model-api"]
        )
        self.assertEqual((parsed.model_store, parsed.models), ("s", ["a", "b=c"]))
        self.assertEqual(
            (parsed.no_config_snapshots, parsed.token_auth, parsed.model_mode), (True, True, True)
        )

    def test_multi_model_server(self) -> None:
        parser = found("mms.arg_parser.ArgParser")
        parsed = parser.extract_args(["--start", "--mms-config", "c"])
        self.assertEqual((parsed.start, parsed.mms_config), (True, "c"))
        words = ["--sock-type", "unix", "--preload-model", "yes", "--tmp-dir", "/t"]
        self.assertTrue(parser.model_service_worker_args().parse_args(words).preload_model)

    def test_properties(self) -> None:
        path = Path(self.mktemp())
        path.write_text("# a comment=1\n a = b=c \nnothing\n")
        for peer in ("ts", "mms"):
            self.assertEqual(found(f"{peer}.model_server.load_properties")(str(path)), {"a": "b=c"})


class SmallThingsTests(NamesTestCase):
    """Metrics of the host, queues, arrays, sentences."""

    def test_metrics_of_the_host(self) -> None:
        for peer in ("ts", "mms"):
            module = import_module(f"{peer}.metrics.system_metrics")
            module.system_metrics.clear()
            module.collect_all(module, *[0] if peer == "ts" else [])
            names = {metric.name for metric in module.system_metrics}
            self.assertEqual(len(names), 7)
            self.assertIn("MemoryUtilization", names)

    def test_memory_of_processes(self) -> None:
        module = import_module("ts.metrics.process_memory_metric")
        with self.assertLogs(level="INFO") as logs:
            module.check_process_mem_usage(StringIO("1,,999999999\n"))
        self.assertIn("999999999:0", logs.output[-1])

    def test_tee_and_print(self) -> None:
        launcher = import_module("ts.launcher")
        tee = launcher.Tee([f"{number}\n" for number in range(2000)])
        tee.run()
        for lines in (tee.queue1, tee.queue2):
            kept = list(lines.queue)
            self.assertEqual((len(kept), kept[-1]), (1000, None))
        printed = StringIO()
        self.patch(sys, "stdout", printed)
        launcher.PrintTillTheEnd(tee.queue1).run()
        self.assertEqual(len(printed.getvalue().split()), 999)

    def test_step_of_a_pipeline(self) -> None:
        module = import_module("ts.handler_utils.micro_batching")
        given: queue.Queue[Any] = queue.Queue()
        taken: queue.Queue[Any] = queue.Queue()
        local, ended = threading.local(), threading.Event()
        given.put((3, [1]))

        def handle(data: list[int]) -> list[int]:
            ended.set()
            return [*data, local.micro_batch_idx]

        module.execute_call(given, taken, handle, local, ended)
        self.assertEqual(taken.get_nowait(), (3, [1, 3]))

    def test_best_classes(self) -> None:
        best = found("mms.utils.mxnet.ndarray.top_probability")(numpy.array([[0.25, 0.5, 0.125]]), "abc", 2)
        self.assertEqual(best, [{"probability": 0.5, "class": "b"}, {"probability": 0.25, "class": "a"}])

    def test_sentences(self) -> None:
        encode = found("mms.utils.mxnet.nlp.encode_sentences")
        encoded, vocabulary = encode([["a", "b"], ["b", "c"]])
        self.assertEqual((encoded, vocabulary), ([[0, 1], [1, 2]], {"\n": -1, "a": 0, "b": 1, "c": 2}))
        self.assertEqual(encode([["b", "z"]], vocabulary)[0], [[1, -1]])

    def test_shapes_of_a_signature(self) -> None:
        check = found("mms.model_service.mxnet_model_service.check_input_shape")
        signature = {"inputs": [{"data_name": "data", "data_shape": [1, 3, 0]}]}
        check([numpy.zeros((8, 3, 5))], signature)
        for wrong in ([], [numpy.zeros((8, 4, 5))], [numpy.zeros((8, 3))], "x"):
            self.assertRaises(AssertionError, check, wrong, signature)

    def test_images(self) -> None:
        image = import_module("mms.utils.mxnet.image")
        text = image.write(numpy.zeros((3, 4, 5)), format="png")
        self.assertTrue(text.startswith("iVBOR"))
        self.assertRaises(ImportError, image.read, b"")

    def test_site_packages_are_inherited(self) -> None:
        folder = Path(self.mktemp())
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        packages = folder / "lib" / version / "site-packages"
        packages.mkdir(parents=True)
        found("ts.utils.setup_model_venv.inherit_site_packages")(str(folder))
        self.assertIn("site-packages", (packages / "inherited-site-packages.pth").read_text())

    def test_pipeline_of_dali(self) -> None:
        made = found("ts.handler_utils.preprocess.dali.get_dali_pipeline")
        context = Context("m", "/nowhere", None, 1, None, "1", model_yaml_config={})
        self.assertRaises(ValueError, made, context)
        context.model_yaml_config["dali"] = {"pipeline_file": "x.dali"}
        self.assertRaises(RuntimeError, made, context)

    def test_version_file(self) -> None:
        version = import_module("ts.version")
        self.assertEqual(Path(version.version_path).read_text().strip(), version.__version__)

    def test_command_as_a_function(self) -> None:
        commands: list[list[str]] = []

        def run(command: list[str], check: bool) -> subprocess.CompletedProcess[str]:
            commands.append(command)
            return subprocess.CompletedProcess(command, 3)

        self.patch(subprocess, "run", run)
        self.patch(sys, "argv", ["x", "--start"])
        for peer, command in (("ts", "torchserve"), ("mms", "multi-model-server")):
            ended = self.assertRaises(SystemExit, found(f"{peer}.model_server.start"))
            self.assertEqual((ended.code, commands.pop()), (3, [command, "--start"]))

    def test_what_is_only_there_says_so_when_it_is_called(self) -> None:
        for path in (
            "ts.model_service_worker.TorchModelServiceWorker",
            "mms.model_service_worker.MXNetModelServiceWorker",
            "ts.async_service.AsyncService",
            "ts.async_service.predict",
            "ts.llm_launcher.main",
            "mms.model_service.mxnet_model_service.MXNetBaseService",
            "mms.model_service.mxnet_vision_service.MXNetVisionService",
        ):
            error = self.assertRaises(NotImplementedError, found(path), "m", "/d", None)
            self.assertIn(path.rpartition(".")[2], str(error))
        error = self.assertRaises(
            ImportError, found("ts.torch_handler.trt_llm_handler.TRTLLMHandler")().initialize, None
        )
        self.assertIn("TRTLLMHandler", str(error))
