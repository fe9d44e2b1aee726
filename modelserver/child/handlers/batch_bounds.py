"""Batches for models that take only some sizes: cut or padded on the way in, put together on the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelserver.archive.pt2_section import BatchBounds


class BoundedModel:
    """
    Calls a model with batches that it takes.

    The rows are the first dimension of all inputs. A padding row repeats the last one, so that no value comes
    in that is not a client's; its answer is dropped. A batch that fits goes through untouched.

    :param model: is called with tensors, and answers tensors, or lists, tuples and mappings of them.
    """

    def __init__(self, model: Callable[..., Any], bounds: BatchBounds) -> None:
        self.model = model
        self.bounds = bounds

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        rows = _rows([*args, *kwargs.values()])
        least, most = self.bounds
        if rows is None or (least <= rows and (most is None or rows <= most)):
            return self.model(*args, **kwargs)
        parts = []
        for start in range(0, rows, most or rows):
            count = min(most or rows, rows - start)
            answer = self.model(
                *(_part(value, start, count, least) for value in args),
                **{name: _part(value, start, count, least) for name, value in kwargs.items()},
            )
            parts.append(_first_rows(answer, max(count, least), count))
        return parts[0] if len(parts) == 1 else _joined(parts)


def _rows(values: Sequence[object]) -> int | None:
    """The size of the batch; None if it has none that is cut: no tensors, no rows, or tensors that differ."""
    import torch

    sizes = {value.shape[0] if value.ndim else 0 for value in values if isinstance(value, torch.Tensor)}
    return (sizes.pop() or None) if len(sizes) == 1 else None


def _part(value: Any, start: int, count: int, least: int) -> Any:
    """Rows of an input from ``start``, with the last of them repeated until there are ``least``."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    part = value[start : start + count]
    if count >= least:
        return part
    return torch.cat([part, part[-1:].expand(least - count, *part.shape[1:])])


def _first_rows(answer: Any, size: int, count: int) -> Any:
    """
    The answer without what belongs to padding.

    :param size: of the batch that was computed.
    :raises ValueError: a tensor of the answer does not have one row for each of the batch.
    """
    if hasattr(answer, "shape"):
        if not answer.ndim or answer.shape[0] != size:
            raise ValueError(
                f"The model answers a batch of {size} with a tensor of shape {tuple(answer.shape)}: its rows "
                "cannot be told apart, so send batches of the size that the model takes."
            )
        return answer[:count]
    if isinstance(answer, Mapping):
        return {name: _first_rows(value, size, count) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return _like(answer, [_first_rows(value, size, count) for value in answer])
    return answer


def _joined(parts: Sequence[Any]) -> Any:
    import torch

    first = parts[0]
    if isinstance(first, torch.Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, list | tuple):
        return _like(first, [_joined(values) for values in zip(*parts, strict=True)])
    return first


def _like(sequence: list[Any] | tuple[Any, ...], values: list[Any]) -> Any:
    """The values as a sequence of the same type; named tuples stay what they are."""
    if hasattr(sequence, "_fields"):
        return type(sequence)(*values)
    return type(sequence)(values)
