"""The settings of a version as a describe shows them."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from modelserver.rest.dialects.json_text import milliseconds, seconds
from modelserver.spec import VersionDescription
from modelserver.version_settings.setting import AUTO_WORD, Setting, Unit
from modelserver.version_settings.values import AUTO_DELAY


def described_settings(spec: object, table: Iterable[Setting]) -> dict[str, object]:
    """
    Return the settings of a version that are shown, by the keys of the answer, in the table's order.

    :param spec: a ``VersionSpec``, or what has the attributes that the table names.
    """
    return {row.described: _shown(row, attrgetter(row.path)(spec)) for row in table if row.described}


def chosen_delay(description: VersionDescription) -> dict[str, object]:
    """
    Return the delay of batches at present, and that the server chooses it; nothing where it is a setting.

    The number stays a number, in milliseconds: clients of the peers read it as one.
    """
    if description.spec.batching.max_delay != AUTO_DELAY:
        return {}
    return {"maxBatchDelay": milliseconds(description.batch_delay), "batchDelay": AUTO_WORD}


def _shown(setting: Setting, value: Any) -> object:  # the type is that of the attribute
    match setting.unit:
        case Unit.SECONDS:
            return seconds(value)
        case Unit.MILLISECONDS:
            return milliseconds(value)
        case Unit.DEVICES:
            return list(value)
    return value
