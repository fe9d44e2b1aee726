"""``MockContext``: a context for tests of handlers, without a server."""

from __future__ import annotations

import os
import uuid

from modelserver.child.context import Context
from modelserver.child.metrics.old_store import OldMetricsStore
from modelserver.compat.borrowed import borrowed


class MockContext(Context):
    """
    A context of a model whose files lie in a folder, without requests: they have no headers.

    :param model_pt_file: the file of weights, or None.
    :param model_file: the file of the model's class, or None.
    :param gpu_id: the GPU to compute on, if there is one.
    :param model_yaml_config_file: a model-config.yaml.
    """

    def __init__(
        self,
        model_pt_file: str | None = "model.pt",
        model_dir: str = os.curdir,
        model_file: str | None = "model.py",
        gpu_id: str | None = "0",
        model_name: str = "mnist",
        model_yaml_config_file: str | os.PathLike[str] | None = None,
    ) -> None:
        import torch
        import yaml

        files = {"serializedFile": model_pt_file, "modelFile": model_file}
        config = {}
        if model_yaml_config_file:
            with open(os.path.join(model_dir, model_yaml_config_file), encoding="utf-8") as file:
                config = yaml.safe_load(file) or {}
        super().__init__(
            model_name,
            model_dir,
            {"model": {name: file for name, file in files.items() if file}},
            1,
            int(gpu_id) if gpu_id and torch.cuda.is_available() else None,
            None,
            metrics=OldMetricsStore(uuid.uuid4(), model_name),
            model_yaml_config=config,
        )
        self.explain = False

    def get_request_header(self, idx: int, key: str) -> str | None:
        """A header of a request that a test has put into ``request_processor``; else None."""
        processors = self.request_processor or ()
        return super().get_request_header(idx, key) if idx < len(processors) else None


__getattr__ = borrowed(__name__)
