"""Explanations of predictions, which captum makes where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from modelserver.child.context import PredictionException
from modelserver.child.data.refusals import opened
from modelserver.child.data.rows import row_value

NOT_IMPLEMENTED = 501


def attribution_method(name: str) -> Any:
    """
    A class of ``captum.attr``.

    :raises PredictionException: captum is not installed (501).
    """
    try:
        return getattr(importlib.import_module("captum.attr"), name)
    except ImportError as error:
        raise PredictionException(
            "Explanations need the package captum, which is not installed for this model.", NOT_IMPLEMENTED
        ) from error


def refuse_to_explain(handler: object) -> PredictionException:
    """The refusal of a handler that has no ``get_insights``."""
    return PredictionException(f"{type(handler).__name__} does not explain its predictions.", NOT_IMPLEMENTED)


def targets(rows: Sequence[object]) -> int | list[int]:
    """
    The class that each request wants explained, 0 unless it says ``target``; one number if all agree.

    :raises RowsRefused: some targets are no numbers.
    """
    wanted = opened(rows, _target)
    return wanted[0] if len(set(wanted)) == 1 else wanted


def _target(row: object) -> int:
    for place in (row, row_value(row)):
        if isinstance(place, Mapping) and "target" in place:
            target = place["target"]
            return int(target[0] if isinstance(target, list) else target)
    return 0
