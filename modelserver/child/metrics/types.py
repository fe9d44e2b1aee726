"""What the metrics of both peers have in common: types, labels, units, errors."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from enum import Enum
from typing import Any

from modelserver.protocol.metric_units import SIZE_UNITS, TIME_UNITS

Record = dict[str, object]
"""One value as the worker's loop sends it: see ``HandlerMetrics.drain``."""
RequestIds = Mapping[int, str]
"""The ids of the requests in hand, by place in the batch."""

MODEL, LEVEL = "ModelName", "Level"
_WHOLE = range(-(2**63), 2**63)
"""Whole numbers that are sent as such; larger ones are rounded."""


class MetricTypes(Enum):
    """How the values of a metric add up."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class MetricsCacheKeyError(KeyError):
    """There is no such metric, or a key is missing in a ``metrics.yaml``."""


class MetricsCacheValueError(ValueError):
    """A value or a unit that a metric cannot have."""


class MetricsCacheTypeError(TypeError):
    """An argument of a wrong type."""


class MetricsCacheIOError(OSError):
    """A ``metrics.yaml`` that cannot be read."""


class GeneralMetricsCacheError(Exception):
    """Any other failure of the metrics."""


class Dimension:
    """A label of a metric: its name and its value."""

    def __init__(self, name: str, value: object) -> None:
        self.name = name
        self.value = value

    def __str__(self) -> str:
        return f"{self.name}:{self.value}"

    def to_dict(self) -> dict[str, object]:
        """The label as TorchServe's JSON shows it."""
        return {"Name": self.name, "Value": self.value}


def joined_ids(request_ids: RequestIds | object, idx: int | None) -> str:
    """
    The id of the request at ``idx`` of the batch, or all ids joined by commas; empty if there are none.

    :param request_ids: by place in the batch, or one id of any kind, as handlers' own tests have it.
    """
    if not request_ids:
        return ""
    if not isinstance(request_ids, Mapping):
        return str(request_ids)
    if idx is not None and idx in request_ids:
        return str(request_ids[idx])
    return ",".join(request_ids.values())


def plain_number(value: object) -> int | float:
    """
    A value as a plain number: one of numpy, a tensor of one element, or a text that says it.

    :raises ValueError: it is none.
    """
    if type(value) is float or (type(value) is int and value in _WHOLE):
        return value
    given: Any = None if isinstance(value, bool) else value
    try:
        whole = operator.index(given)
    except Exception:  # a tensor of fractions has the method, too
        whole = None
    try:
        return float(given) if whole is None or whole not in _WHOLE else whole
    except Exception as error:  # whatever a library raises for what cannot be one number
        raise ValueError(f"{value!r} is no number") from error


def check_time_unit(unit: str) -> None:
    """
    Refuse what is no unit of time.

    :raises MetricsCacheValueError: it is none.
    """
    if unit not in TIME_UNITS:
        raise MetricsCacheValueError("the unit for a timed metric should be one of ['ms', 's']")


def check_size_unit(unit: str) -> None:
    """
    Refuse what is no unit of size.

    :raises ValueError: it is none.
    """
    if unit not in SIZE_UNITS:
        raise ValueError("The unit for size based metric is one of ['MB','kB', 'GB', 'B']")
