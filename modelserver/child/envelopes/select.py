"""Which envelope a version's name for one means."""

from __future__ import annotations

from modelserver.child.context import Context, EntryPoint
from modelserver.child.envelopes.base import BaseEnvelope, BodyEnvelope
from modelserver.child.envelopes.kserve import JSONEnvelope, KServeEnvelope
from modelserver.child.envelopes.open_inference import KServev2Envelope

_ENVELOPES: dict[str, type[BaseEnvelope]] = {
    "body": BodyEnvelope,
    "json": JSONEnvelope,
    "kserve": KServeEnvelope,
    "kservev2": KServev2Envelope,
}


def wrap(name: str, entry_point: EntryPoint) -> EntryPoint:
    """
    Return an entry point behind an envelope: ``body``, ``json``, ``kserve`` or ``kservev2``.

    :raises ValueError: there is no envelope of this name.
    """
    kind = _ENVELOPES.get(name)
    if kind is None:
        raise ValueError(f"There is no request envelope {name!r}; there are {', '.join(_ENVELOPES)}.")

    def enveloped(data: object, context: Context) -> object:
        return kind(entry_point).handle(data, context)  # type: ignore[arg-type]  # the loop's list of rows

    return enveloped
