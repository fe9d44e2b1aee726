"""The metrics that a ``metrics.yaml`` declares for handlers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelserver.child.metrics.types import (
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCacheValueError,
    MetricTypes,
)

SECTION = "model_metrics"
Declaration = tuple[str, str, list[str], MetricTypes]


def read_model_metrics(path: str) -> list[Declaration]:
    """
    The ``model_metrics`` of a file: name, unit, names of labels and type of each.

    :raises MetricsCacheIOError: the file cannot be read.
    :raises MetricsCacheKeyError: a key is missing, or a type is unknown.
    :raises MetricsCacheValueError: it is no YAML, or nothing is declared.
    """
    return list(declarations(section_of(read_document(path), SECTION)))


def read_document(path: str) -> Any:
    """
    What a YAML file holds.

    :raises MetricsCacheIOError: the file cannot be read.
    :raises MetricsCacheValueError: it is no YAML.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            return yaml.safe_load(file)
    except OSError as error:
        raise MetricsCacheIOError(f"Error reading file {path}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise MetricsCacheValueError(f"Error parsing file {path}: {error}") from error


def section_of(document: Any, name: str | None) -> Any:
    """
    One section of a document.

    :raises MetricsCacheKeyError: there is none of this name.
    """
    if not isinstance(document, dict) or name not in document:
        raise MetricsCacheKeyError(f"'{name}' key not found in yaml file: {name!r}")
    return document[name]


def declarations(section: Any) -> Iterator[Declaration]:
    """
    What a section declares.

    :raises MetricsCacheKeyError: a key is missing, or a type is unknown.
    :raises MetricsCacheValueError: nothing is declared, or no list of labels.
    """
    if not section or not isinstance(section, dict):
        raise MetricsCacheValueError(f"Missing `{SECTION}` specification")
    for kind, metrics in section.items():
        try:
            metric_type = MetricTypes(kind)
        except ValueError as error:
            raise MetricsCacheKeyError(f"Invalid metric type: {error}") from error
        for metric in metrics or ():
            try:
                name, unit, labels = metric["name"], metric["unit"], metric["dimensions"]
            except (KeyError, TypeError) as error:
                raise MetricsCacheKeyError(f"Key not found in cache spec: {error}") from error
            if not isinstance(labels, list | None):
                raise MetricsCacheValueError(f"The dimensions of {name} are no list")
            yield str(name), str(unit), [str(label) for label in labels or ()], metric_type
