"""Where the value of each key of the configuration comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from modelserver.language.attributes import frozen


@frozen
class Origin:
    """A value as it was written, and what has set it, in words for people."""

    value: str
    source: str


def origins_of(layers: Iterable[tuple[str, Mapping[str, str]]]) -> Mapping[str, Origin]:
    """
    Return the origin of each key; an empty value says nothing.

    :param layers: what sets keys, in words, and which; a later one before an earlier one.
    """
    return {
        name: Origin(value, source) for source, values in layers for name, value in values.items() if value
    }
