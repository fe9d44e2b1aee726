"""Tensors of the Open Inference Protocol: their types, shapes and bytes. numpy is needed for bytes only."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

TYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""The protocol's names of types and numpy's."""
NAMES = {name: datatype for datatype, name in TYPES.items()}
BYTES, BFLOAT = "BYTES", "BF16"
OPEN = -1
"""A size that follows from the number of elements."""
_LENGTH = struct.Struct("<I")


def reshape(data: object, shape: Sequence[int], is_bytes: bool = False) -> object:
    """
    Nested lists of ``shape`` from a flat or nested list; a single element of BYTES comes without its list.

    :raises ValueError: the number of elements does not fit.
    """
    flat = list(_leaves(data))
    shape = resolved(shape, len(flat))
    if len(flat) != prod(shape):
        raise ValueError(f"{len(flat)} elements do not have the shape {list(shape)}.")
    if is_bytes and len(flat) == 1:
        return flat[0]
    return _nest(flat, shape)


def is_shape(sizes: Sequence[object]) -> bool:
    """Whether these are sizes; one of them may be left open as -1, as KServe's own examples have it."""
    return all(type(size) is int and size >= OPEN for size in sizes) and sizes.count(OPEN) <= 1


def resolved(shape: Sequence[int], count: int) -> Sequence[int]:
    """Return the shape with the size that it leaves open, if so many elements have one."""
    if OPEN not in shape:
        return shape
    others = 1
    for size in shape:
        others *= 1 if size == OPEN or not count else size
        if others > max(count, 1):
            break
    if 0 in shape or count % others:
        return shape
    return [count // others if size == OPEN else size for size in shape]


def _leaves(data: object) -> Iterator[object]:
    if isinstance(data, list | tuple):
        for item in data:
            yield from _leaves(item)
    else:
        yield data


def _nest(flat: list[object], shape: Sequence[int]) -> object:
    if not shape:
        return flat[0]
    if len(shape) == 1 or not flat:
        return flat
    step = prod(shape[1:])
    return [_nest(flat[at : at + step], shape[1:]) for at in range(0, len(flat), step)]


def describe(result: object) -> tuple[str, list[int]]:
    """The datatype and shape of a result: a tensor, an array, nested lists, a number, a text or anything."""
    dtype = getattr(result, "dtype", None)
    if dtype is None or not hasattr(result, "tolist"):
        return _datatype_of(list(_leaves(result))), _shape_of(result) or [1]
    shape = [int(size) for size in getattr(result, "shape", ())]
    # numpy's names say nothing of the order of bytes.
    return _datatype(str(getattr(dtype, "name", dtype)).removeprefix("torch.")), shape or [1]


def flatten(result: object) -> list[object]:
    """The elements of a result, as JSON wants them."""
    to_list = getattr(result, "tolist", None)
    leaves = _leaves(result if to_list is None else to_list())
    return [
        leaf.decode("utf-8", "surrogateescape") if isinstance(leaf, bytes | bytearray) else leaf
        for leaf in leaves
    ]


def _datatype(dtype: str) -> str:
    if dtype == "bfloat16":
        # JSON has no types, and no client a bfloat16.
        return "FP32"
    return NAMES.get(dtype, BYTES)


def _shape_of(value: object) -> list[int]:
    shape = []
    while isinstance(value, list | tuple):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _datatype_of(flat: Sequence[object]) -> str:
    kinds = {type(item) for item in flat}
    if kinds and kinds <= {bool}:
        return "BOOL"
    if kinds and kinds <= {bool, int}:
        return "INT64"
    return "FP64" if kinds <= {bool, int, float} else BYTES


def from_binary(datatype: str, raw: memoryview, shape: Sequence[int]) -> object:
    """
    A tensor from its bytes: an array; for BYTES a list, or the only element.

    :raises ValueError: the type is unknown, or the bytes do not fit the shape.
    """
    if datatype == BYTES:
        return reshape(list(byte_elements(raw)), shape, True)
    try:
        import numpy
    except ImportError as error:
        raise ValueError("Binary tensors need numpy in the worker.") from error
    buffer = bytearray(raw)  # so that the handler may write into its array
    if datatype == BFLOAT:
        halves = numpy.frombuffer(buffer, "<u2").astype("<u4")
        return (halves << 16).view("<f4").reshape(shape)
    if datatype not in TYPES:
        raise ValueError(f"There is no datatype {datatype}.")
    return numpy.frombuffer(buffer, numpy.dtype(TYPES[datatype]).newbyteorder("<")).reshape(shape)


def byte_elements(raw: memoryview) -> Iterator[bytes]:
    """
    Yield the elements of a BYTES tensor, each of which has its length before it.

    :raises ValueError: a length leads out of the tensor.
    """
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise ValueError("The lengths of a BYTES tensor lead out of it.")
        (size,) = _LENGTH.unpack_from(raw, position)
        position += 4 + size
        if position > len(raw):
            raise ValueError("The lengths of a BYTES tensor lead out of it.")
        yield bytes(raw[position - size : position])


def to_binary(datatype: str, result: object) -> bytes:
    """The bytes of a result of this datatype."""
    if datatype == BYTES:
        encoded = [_encode(item) for item in flatten(result)]
        return b"".join(_LENGTH.pack(len(item)) + item for item in encoded)
    import numpy

    little = numpy.dtype(TYPES[datatype]).newbyteorder("<")
    array: Any = result
    if hasattr(array, "resolve_neg"):  # a tensor of torch, maybe with a gradient, on a GPU, or to be negated
        array = (array.float() if "bfloat16" in str(array.dtype) else array).numpy(force=True)
    return numpy.asarray(array, little).tobytes()


def _encode(item: object) -> bytes:
    text = item if isinstance(item, str) else json.dumps(item)
    return text.encode("utf-8", "surrogateescape")
