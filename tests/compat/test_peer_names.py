"""What handlers import from the peers' packages, with the peers' arguments, and quickly."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child import context
from modelserver.child.data import streaming
from modelserver.child.envelopes import base as envelopes
from modelserver.child.envelopes import kserve, open_inference
from modelserver.child.handlers import (
    base_handler,
    deepspeed_engine,
    densenet_handler,
    distributed_handlers,
    image_classifier,
    image_segmenter,
    micro_batching,
    model_service,
    object_detector,
    pipelines,
    text_classifier,
    text_handler,
    text_streams,
    timing,
    tokens,
    vision_handler,
    vllm_handler,
    weights,
)
from modelserver.child.metrics import cache, caching, old_store, yaml_cache
from modelserver.child.metrics import mms as metrics_store
from modelserver.child.metrics import types as metric_types
from modelserver.system.installation import COMPAT
from tests.harness.packages import needs_torch

TS = {
    "ts.context.Context": context.Context,
    "ts.context.RequestProcessor": context.RequestProcessor,
    "ts.service.PredictionException": context.PredictionException,
    "ts.service.Service": None,
    "ts.service.emit_metrics": None,
    "ts.utils.util.PredictionException": context.PredictionException,
    "ts.utils.util.list_classes_from_module": weights.list_classes_from_module,
    "ts.utils.util.load_label_mapping": None,
    "ts.utils.util.map_class_to_label": None,
    "ts.utils.util.get_yaml_config": None,
    "ts.utils.util.check_valid_pt2_backend": None,
    "ts.utils.util.PT2Backend": None,
    "ts.utils.util.deprecated": None,
    "ts.utils.util.CLEANUP_REGEX": tokens.CLEANUP_REGEX,
    "ts.utils.timeit_decorator.timeit": timing.timeit,
    "ts.handler_utils.utils.send_intermediate_predict_response": streaming.send_intermediate_predict_response,
    "ts.handler_utils.utils.import_class": None,
    "ts.handler_utils.timer.timed": timing.timed,
    "ts.handler_utils.micro_batching.MicroBatching": micro_batching.MicroBatching,
    "ts.handler_utils.hf_batch_streamer.TextIteratorStreamerBatch": text_streams.TextIteratorStreamerBatch,
    "ts.handler_utils.text_utils.get_tokenizer": tokens.get_tokenizer,
    "ts.handler_utils.text_utils.ngrams_iterator": tokens.ngrams_iterator,
    "ts.protocol.otf_message_handler.send_intermediate_predict_response": None,
    "ts.protocol.otf_message_handler.create_predict_response": None,
    "ts.metrics.dimension.Dimension": metric_types.Dimension,
    "ts.metrics.metric_type_enum.MetricTypes": metric_types.MetricTypes,
    "ts.metrics.metric.Metric": old_store.OldMetric,
    "ts.metrics.metric_abstract.MetricAbstract": caching.CachingMetric,
    "ts.metrics.caching_metric.CachingMetric": caching.CachingMetric,
    "ts.metrics.metric_cache_abstract.MetricCacheAbstract": cache.MetricsCache,
    "ts.metrics.metric_cache_yaml_impl.MetricsCacheYamlImpl": yaml_cache.MetricsCacheYamlImpl,
    "ts.metrics.metric_cache_errors.MetricsCacheKeyError": metric_types.MetricsCacheKeyError,
    "ts.metrics.metric_cache_errors.MetricsCachePyYamlError": metric_types.MetricsCacheValueError,
    "ts.metrics.metrics_store.MetricsStore": old_store.OldMetricsStore,
    "ts.metrics.metric_encoder.MetricEncoder": metrics_store.MetricEncoder,
    "ts.metrics.unit.Units": metrics_store.Units,
    "ts.model_service.model_service.ModelService": model_service.ModelService,
    "ts.model_service.model_service.SingleNodeService": model_service.SingleNodeService,
    "ts.torch_handler.base_handler.BaseHandler": base_handler.BaseHandler,
    "ts.torch_handler.base_handler.ONNX_AVAILABLE": None,
    "ts.torch_handler.vision_handler.VisionHandler": vision_handler.VisionHandler,
    "ts.torch_handler.image_classifier.ImageClassifier": image_classifier.ImageClassifier,
    "ts.torch_handler.image_segmenter.ImageSegmenter": image_segmenter.ImageSegmenter,
    "ts.torch_handler.object_detector.ObjectDetector": object_detector.ObjectDetector,
    "ts.torch_handler.text_handler.TextHandler": text_handler.TextHandler,
    "ts.torch_handler.text_classifier.TextClassifier": text_classifier.TextClassifier,
    "ts.torch_handler.densenet_handler.DenseNetHandler": densenet_handler.DenseNetHandler,
    "ts.torch_handler.contractions.CONTRACTION_MAP": None,
    "ts.torch_handler.vllm_handler.VLLMHandler": vllm_handler.VLLMHandler,
    "ts.torch_handler.distributed.base_pippy_handler.BasePippyHandler": distributed_handlers.BasePippyHandler,
    "ts.torch_handler.distributed.base_deepspeed_handler.BaseDeepSpeedHandler": (
        distributed_handlers.BaseDeepSpeedHandler
    ),
    "ts.handler_utils.distributed.pt_pippy.initialize_rpc_workers": pipelines.initialize_rpc_workers,
    "ts.handler_utils.distributed.pt_pippy.get_pipeline_driver": pipelines.get_pipeline_driver,
    "ts.handler_utils.distributed.deepspeed.get_ds_engine": deepspeed_engine.get_ds_engine,
    "ts.handler_utils.distributed.deepspeed.create_checkpoints_json": None,
    "ts.launcher.start": None,
    "ts.launcher.stop": None,
    "ts.launcher.register_model": None,
    "ts.launcher.register_model_with_params": None,
    "ts.torch_handler.request_envelope.base.BaseEnvelope": envelopes.BaseEnvelope,
    "ts.torch_handler.request_envelope.body.BodyEnvelope": envelopes.BodyEnvelope,
    "ts.torch_handler.request_envelope.json.JSONEnvelope": kserve.JSONEnvelope,
    "ts.torch_handler.request_envelope.kserve.KServeEnvelope": kserve.KServeEnvelope,
    "ts.torch_handler.request_envelope.kservev2.KServev2Envelope": open_inference.KServev2Envelope,
    "ts.version.__version__": None,
    "ts.__version__": None,
}
MMS = {
    "mms.context.Context": context.MmsContext,
    "mms.context.RequestProcessor": context.RequestProcessor,
    "mms.service.PredictionException": context.PredictionException,
    "mms.service.Service": None,
    "mms.service.emit_metrics": None,
    "mms.metrics.dimension.Dimension": metric_types.Dimension,
    "mms.metrics.metric.Metric": metrics_store.Metric,
    "mms.metrics.metrics_store.MetricsStore": metrics_store.MmsMetricsStore,
    "mms.metrics.metric_encoder.MetricEncoder": metrics_store.MetricEncoder,
    "mms.metrics.unit.Units": metrics_store.Units,
    "mms.model_service.model_service.SingleNodeService": model_service.SingleNodeService,
    "mms.model_service.mxnet_model_service.SingleNodeService": model_service.SingleNodeService,
    "mms.utils.timeit_decorator.timeit": timing.timeit,
    "mms.protocol.otf_message_handler.create_predict_response": None,
    "mms.version.__version__": None,
}
SIGNATURES = {
    "ts.context.Context": "model_name model_dir manifest batch_size gpu mms_version "
    "limit_max_image_pixels=True metrics=None model_yaml_config=None",
    "ts.context.Context.get_request_id": "self idx=0",
    "ts.context.Context.get_request_header": "self idx key",
    "ts.context.Context.get_all_request_header": "self idx",
    "ts.context.Context.set_response_content_type": "self idx value",
    "ts.context.Context.set_response_status": "self code=200 phrase='' idx=0",
    "ts.context.Context.set_all_response_status": "self code=200 phrase=''",
    "ts.context.Context.set_response_header": "self idx key value",
    "ts.context.Context.get_sequence_id": "self idx",
    "ts.context.RequestProcessor.report_status": "self code reason_phrase=None",
    "ts.context.RequestProcessor.add_response_property": "self key value",
    "ts.service.Service": "model_name model_dir manifest entry_point gpu batch_size "
    "limit_max_image_pixels=True metrics_cache=None",
    "ts.utils.util.PredictionException": "message error_code=500",
    "ts.utils.util.list_classes_from_module": "module parent_class=None",
    "ts.utils.util.load_label_mapping": "mapping_file_path",
    "ts.utils.util.map_class_to_label": "probs mapping=None lbl_classes=None",
    "ts.utils.util.get_yaml_config": "yaml_file_path",
    "ts.handler_utils.utils.import_class": "class_name module_prefix=None",
    "ts.handler_utils.micro_batching.MicroBatching": "parent_handler micro_batch_size=1 parallelism=None",
    "ts.protocol.otf_message_handler.send_intermediate_predict_response": "ret req_id_map message code "
    "context=None",
    "ts.protocol.otf_message_handler.create_predict_response": "ret req_id_map message code context=None "
    "ts_stream_next=False",
    "ts.metrics.dimension.Dimension": "name value",
    "ts.metrics.metrics_store.MetricsStore": "request_ids model_name",
    "ts.metrics.metrics_store.MetricsStore.add_metric": "self name value unit idx=None dimensions=None",
    "ts.metrics.caching_metric.CachingMetric.update": "self value request_id='' dimensions=()",
    "ts.torch_handler.base_handler.BaseHandler": "",
    "ts.torch_handler.base_handler.BaseHandler.handle": "self data context",
    "ts.torch_handler.base_handler.BaseHandler.explain_handle": "self data_preprocess raw_data",
    "ts.torch_handler.base_handler.BaseHandler._load_pickled_model": "self model_dir model_file "
    "model_pt_path",
    "ts.torch_handler.base_handler.BaseHandler._load_torchscript_model": "self model_pt_path",
    "ts.torch_handler.base_handler.setup_ort_session": "model_pt_path map_location",
    "ts.torch_handler.vision_handler.VisionHandler.get_insights": "self tensor_data _ target=0",
    "ts.torch_handler.text_handler.TextHandler.get_source_vocab_path": "self ctx",
    "ts.model_service.model_service.ModelService": "model_name model_dir manifest gpu=None",
    "mms.context.Context": "model_name model_dir manifest batch_size gpu mms_version",
    "mms.service.Service": "model_name model_dir manifest entry_point gpu batch_size",
    "mms.metrics.metric.Metric": "name value unit dimensions request_id=None metric_method=None",
    "mms.metrics.metrics_store.MetricsStore.add_metric": "self name value idx=None unit=None dimensions=None",
    "mms.metrics.metrics_store.MetricsStore.add_counter": "self name value idx=None dimensions=None",
    "mms.metrics.metrics_store.MetricsStore.add_time": "self name value idx=None unit='ms' dimensions=None",
}


def found(path: str) -> Any:
    """The object of a dotted name: modules as far as there are any, then attributes."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            thing: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:]:
            thing = getattr(thing, name)
        return thing
    raise ModuleNotFoundError(path)


def shown(signature: inspect.Signature) -> str:
    """The positional parameters as in ``SIGNATURES``."""
    return " ".join(
        parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"
        for parameter in signature.parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    )


class NamesTestCase(SynchronousTestCase):
    """The folder of the peers' names is last on the path, as in a worker."""

    def setUp(self) -> None:
        sys.path.append(str(COMPAT))
        self.addCleanup(sys.path.remove, str(COMPAT))
        importlib.invalidate_caches()


class PeerNamesTests(NamesTestCase):
    """Every name is there and is ours."""

    def test_names(self) -> None:
        for path, thing in {**TS, **MMS}.items():
            there = found(path)
            if thing is not None:
                self.assertIs(there, thing, path)

    def test_signatures(self) -> None:
        for path, parameters in SIGNATURES.items():
            self.assertEqual(shown(inspect.signature(found(path))), parameters, path)

    def test_helpers_of_metrics_have_the_peers_order(self) -> None:
        def names(helper: str) -> list[str]:
            return list(inspect.signature(getattr(cache.MetricsCache, helper)).parameters)[1:]

        self.assertEqual(names("add_metric"), ["name", "value", "unit", "idx", "dimensions", "metric_type"])
        self.assertEqual(names("add_time"), ["name", "value", "idx", "unit", "dimensions", "metric_type"])

    @needs_torch
    def test_context_is_imported_without_heavy_modules(self) -> None:
        script = (
            f"import sys; sys.path.append({str(COMPAT)!r})\n"
            "import ts.context, ts.service, ts.utils.util, ts.metrics.dimension, mms.service\n"
            "import ts.torch_handler.base_handler, ts.handler_utils.utils\n"
            "heavy = {'torch', 'numpy', 'yaml', 'PIL', 'twisted', 'captum', 'asyncio'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
            "assert ts.context.__file__.startswith(sys.path[-1])\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


class HelperTests(NamesTestCase):
    """What stands in the peers' modules themselves."""

    def test_import_class(self) -> None:
        import_class = found("ts.handler_utils.utils.import_class")
        ordered = found("collections.OrderedDict")
        self.assertIs(import_class("collections.OrderedDict"), ordered)
        self.assertIs(import_class("OrderedDict", "collections"), ordered)
        self.assertRaises(ImportError, import_class, "Absent", "collections")
        self.assertRaises(ImportError, import_class, "Absent")

    def test_yaml(self) -> None:
        path = self.mktemp()
        for text, content in (("", {}), ("a: {b: [1]}", {"a": {"b": [1]}})):
            with open(path, "w") as file:
                file.write(text)
            self.assertEqual(found("ts.utils.util.get_yaml_config")(path), content)

    @needs_torch
    def test_context_for_tests_of_handlers(self) -> None:
        folder = self.mktemp()
        os.mkdir(folder)
        with open(os.path.join(folder, "config.yaml"), "w") as file:
            file.write("handler: {size: 3}")
        mock = found("ts.torch_handler.unit_tests.test_utils.mock_context.MockContext")
        made = mock(None, folder, model_file="net.py", model_yaml_config_file="config.yaml")
        self.assertEqual(made.manifest, {"model": {"modelFile": "net.py"}})
        self.assertEqual(made.system_properties["model_dir"], folder)
        self.assertEqual(made.model_yaml_config, {"handler": {"size": 3}})
        self.assertIs(made.get_request_header(0, "explain"), None)
        made.request_processor = [context.RequestProcessor({"Mood": "good"})]
        self.assertEqual(made.get_request_header(0, "mood"), "good")
        made.metrics.add_time("Step", 2.0, None, "ms")
        self.assertEqual([record["name"] for record in made.metrics.drain()], ["Step"])

    def test_folder_for_tests_of_handlers(self) -> None:
        module = found("ts.torch_handler.unit_tests.test_utils.model_dir")
        here, there = Path(self.mktemp()), Path(self.mktemp())
        here.mkdir()
        there.mkdir()
        (here / "net.py").write_text("class Net: ...")
        module.download_model((here / "net.py").resolve().as_uri(), there)
        module.copy_files(here, there, {"net.py": "other.py"})
        self.assertEqual({path.name for path in there.iterdir()}, {"model.pt", "other.py"})
        self.assertEqual((there / "model.pt").read_text(), "class Net: ...")

    def test_deprecated(self) -> None:
        def add(value: int) -> int:
            return value + 1

        add.__name__ = "old"
        deprecated = found("ts.utils.util.deprecated")
        old = deprecated(version="0.8", replacement="new", klass=DeprecationWarning)(add)
        self.assertEqual(old(1), 2)
        (warning,) = self.flushWarnings()
        self.assertEqual(warning["category"], DeprecationWarning)
        self.assertEqual(warning["message"], "old is deprecated since 0.8, use new instead")

    def test_older_place_of_streaming(self) -> None:
        sent: list[object] = []
        stream = found("ts.protocol.otf_message_handler.send_intermediate_predict_response")
        made = context.Context("m", "/d", None, 1, None, "1")
        made.request_ids = {0: "a"}
        made.send_parts = sent.append
        stream(["x"], made.request_ids, "", 200, made)
        self.assertEqual(sent, [["x"]])
        self.assertEqual(
            [warning["category"] for warning in self.flushWarnings()], [PendingDeprecationWarning]
        )
