"""The metrics that a ``metrics.yaml`` declares for handlers."""

from __future__ import annotations

from collections.abc import Iterator

from modelserver.child.metrics.types import (
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCacheValueError,
    MetricTypes,
)

Declaration = tuple[str, str, list[str], MetricTypes]


def read_model_metrics(path: str) -> list[Declaration]:
    """
    The ``model_metrics`` of a file: name, unit, names of labels and type of each.

    :raises MetricsCacheIOError: the file cannot be read.
    :raises MetricsCacheKeyError: a key is missing, or a type is unknown.
    :raises MetricsCacheValueError: it is no YAML, or nothing is declared.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except OSError as error:
        raise MetricsCacheIOError(f"Error reading file {path}: {error}") from error
    except yaml.YAMLError as error:
        raise MetricsCacheValueError(f"Error parsing file {path}: {error}") from error
    if not isinstance(document, dict) or "model_metrics" not in document:
        raise MetricsCacheKeyError(f"'model_metrics' key not found in yaml file {path}")
    section = document["model_metrics"]
    if not section or not isinstance(section, dict):
        raise MetricsCacheValueError("Missing `model_metrics` specification")
    return list(_declarations(section))


def _declarations(section: dict[str, list[dict[str, object]]]) -> Iterator[Declaration]:
    for kind, metrics in section.items():
        try:
            metric_type = MetricTypes(kind)
        except ValueError as error:
            raise MetricsCacheKeyError(f"Invalid metric type: {error}") from error
        for metric in metrics or ():
            try:
                name, unit, labels = metric["name"], metric["unit"], metric["dimensions"]
            except (KeyError, TypeError) as error:
                raise MetricsCacheKeyError(f"Key not found in a declared metric: {error}") from error
            if not isinstance(labels, list):
                raise MetricsCacheValueError(f"The dimensions of {name} are no list")
            yield str(name), str(unit), [str(label) for label in labels], metric_type
