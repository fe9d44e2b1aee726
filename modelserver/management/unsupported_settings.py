"""What a version asks for that this server does not do: told at registration, not passed over in silence."""

from __future__ import annotations

from modelserver.spec import VersionSpec


def unsupported_settings(spec: VersionSpec) -> list[str]:
    """Sentences for the log, one for each key of its model-config that has no effect, or another one."""
    found = []
    if spec.batching.continuous and spec.mode != "continuous":
        found.append("continuousBatching has no effect with torchrun: all ranks must get the same batches.")
    if spec.batching.asynchronous and spec.mode != "concurrent":
        others = {
            "torchrun": spec.torchrun is not None,
            "continuousBatching": spec.batching.continuous,
            "sequenceBatching": spec.sequences.enabled,
        }
        other = next(name for name, is_set in others.items() if is_set)
        found.append(f"asyncCommunication has no effect with {other}: one batch is at work at a time.")
    return found
