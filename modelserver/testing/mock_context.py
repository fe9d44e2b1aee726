"""The context of a handler that no worker has loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import modelserver
from modelserver.child.context import Context, RequestProcessor
from modelserver.child.metrics.torchserve import HandlerMetrics


class MockContext(Context):
    """
    A context for tests that call ``initialize`` and ``handle`` themselves.

    It knows ``batch_size`` requests; what the handler sets for their answers can be asked of it, by
    ``get_response_status`` and ``get_response_headers``.

    :param model_dir: where the handler looks for its files.
    :param serialized_file: of the manifest; so is ``model_file``.
    :param config: what ``model-config.yaml`` would say.
    :param headers: of each request, in order; requests without have none.
    """

    def __init__(
        self,
        model_dir: str | Path = ".",
        *,
        model_name: str = "model",
        serialized_file: str | None = None,
        model_file: str | None = None,
        batch_size: int = 1,
        gpu_id: int | None = None,
        config: Mapping[str, object] | None = None,
        headers: Sequence[Mapping[str, str]] = (),
    ) -> None:
        files = {"serializedFile": serialized_file, "modelFile": model_file}
        manifest = {"modelName": model_name, **{key: name for key, name in files.items() if name}}
        super().__init__(
            model_name,
            str(model_dir),
            {"model": manifest},
            batch_size,
            gpu_id,
            modelserver.__version__,
            metrics=HandlerMetrics(None, model_name),
            model_yaml_config=dict(config or {}),
        )
        self.parts: list[Sequence[object]] = []
        """What the handler has streamed: for each time, a part for each request."""
        self.send_parts = self.parts.append
        self.request_ids = {place: f"request-{place}" for place in range(batch_size)}
        of_each = [*headers, *({} for _ in range(batch_size - len(headers)))]
        self.request_processor = [RequestProcessor(dict(each)) for each in of_each]
