"""Finds settings of a version that have no effect here, for a warning at its registration."""

from __future__ import annotations

from modelserver.spec import VersionSpec


def unsupported_settings(spec: VersionSpec) -> list[str]:
    """Return a sentence for the log for each key of the model-config that has no effect, or another one."""
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
