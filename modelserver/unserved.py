"""What a version asks for that this server does not do: told at registration, not passed over in silence."""

from __future__ import annotations

from modelserver.spec import VersionSpec


def unserved(spec: VersionSpec) -> list[str]:
    """Sentences for the log, one for each key of its model-config that has no effect, or another one."""
    found = []
    if spec.continuous_batching:
        found.append(
            "continuousBatching has no effect: a batch stays with its worker until all its answers are there."
        )
    if spec.async_communication:
        found.append(
            "asyncCommunication has no effect: an async handler is awaited, one batch after the other."
        )
    return found
