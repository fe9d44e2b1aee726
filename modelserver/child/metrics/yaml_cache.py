"""A cache of metrics that a handler, or its test, makes itself from a ``metrics.yaml``."""

from __future__ import annotations

import os
from abc import ABCMeta
from typing import Any

from modelserver.child.metrics.cache import MetricsCache
from modelserver.child.metrics.declared import SECTION, declarations, read_document, section_of
from modelserver.child.metrics.torchserve import HandlerMetrics
from modelserver.child.metrics.types import MetricsCacheTypeError


class MetricsCacheYamlImpl(MetricsCache, metaclass=ABCMeta):
    """
    Metrics that no context has; those of a context are instances of this class, too, for who asks.

    :param config_file_path: read now; its metrics are known from ``initialize_cache`` on.
    """

    def __init__(self, config_file_path: str) -> None:
        try:
            os.path.exists(config_file_path)
        except TypeError as error:
            raise MetricsCacheTypeError(f"Error loading {config_file_path} file: {error}") from error
        super().__init__(config_file_path)
        self._parsed_file: Any = read_document(config_file_path)

    def initialize_cache(self) -> None:
        """
        Make the ``model_metrics`` of the file known; they replace others of their names.

        :raises MetricsCacheKeyError: a key is missing, or a type is unknown.
        :raises MetricsCacheValueError: nothing is declared.
        """
        for name, unit, labels, kind in declarations(self._parse_metrics_section()):
            self.add_metric_to_cache(name, unit, labels, kind)

    def _parse_metrics_section(self, key: str | None = SECTION) -> Any:
        return section_of(self._parsed_file, key)


MetricsCacheYamlImpl.register(HandlerMetrics)
