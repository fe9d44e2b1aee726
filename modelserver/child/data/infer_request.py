"""
Requests of the Open Inference Protocol over gRPC, read from their wire format: a ``ModelInferRequest``.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
A worker reads them itself, for tensors are large, and the server never looks into them.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, cast

from modelserver.child.envelopes.tensors import (
    BFLOAT,
    BYTES,
    byte_elements,
    from_binary,
    is_shape,
    reshape,
    resolved,
)
from modelserver.protocol.infer_parameters import read_parameter
from modelserver.protocol.wire_format import (
    Buffer,
    WireInvalid,
    read_varint,
    signed,
    spans,
    text,
)

Document = dict[str, object]

_NAME, _VERSION, _ID, _PARAMETERS, _INPUTS, _OUTPUTS, _RAW = (number << 3 | 2 for number in range(1, 8))
MOST_DIMENSIONS = 32
"""Of a tensor that an envelope opens: those of numpy's older versions; lists are nested as deep."""
_OUTPUT_PARAMETERS, _CONTENTS = 0x12, 0x2A
_SHARED_MEMORY = "shared_memory_region"
_TEXTS = {_NAME: "model_name", _VERSION: "model_version", _ID: "id"}


class ElementType(NamedTuple):
    """
    How elements of a datatype are written.

    :param contents: the field of ``InferTensorContents``; 0: there is none for them.
    :param code: for ``struct``; empty: each has a length of its own.
    """

    contents: int
    code: str


ELEMENTS: Mapping[str, ElementType] = {
    "BOOL": ElementType(1, "?"),
    "INT8": ElementType(2, "b"),
    "INT16": ElementType(2, "h"),
    "INT32": ElementType(2, "i"),
    "INT64": ElementType(3, "q"),
    "UINT8": ElementType(4, "B"),
    "UINT16": ElementType(4, "H"),
    "UINT32": ElementType(4, "I"),
    "UINT64": ElementType(5, "Q"),
    "FP16": ElementType(0, "e"),
    BFLOAT: ElementType(0, "H"),
    "FP32": ElementType(6, "f"),
    "FP64": ElementType(7, "d"),
    BYTES: ElementType(8, ""),
}


class _Tensor(NamedTuple):
    """An input whose elements are not read yet; ``contents``: where its ``InferTensorContents`` are."""

    document: Document
    contents: tuple[int, int] | None

    @property
    def datatype(self) -> str:
        return str(self.document["datatype"])

    @property
    def shape(self) -> list[int]:
        shape = self.document["shape"]
        assert isinstance(shape, list)
        return shape


class InferDocument(Document):
    """
    A request as the JSON of the protocol says it, which is what handlers get.

    Elements of ``BYTES`` are base64, as TorchServe gives them to handlers.

    :param tensors: for an envelope, the inputs in their shapes: arrays of numpy if they came as bytes, nested
        lists if not; the elements are in ``inputs`` only without one.
    :param is_raw: the elements came as bytes; those of the answer leave so, too.
    """

    def __init__(self, message: Buffer, opens: bool = False) -> None:
        """
        Read a request.

        :param opens: an envelope will ask for ``tensors``.
        :raises ValueError: it is none, or not what the protocol says.
        """
        super().__init__(id="", model_name="")
        inputs: list[_Tensor] = []
        raw: list[Buffer] = []
        parameters: Document = {}
        outputs: list[Document] = []
        for tag, start, end in spans(message, 0, len(message)):
            if tag == _RAW:
                raw.append(memoryview(message)[start:end])
            elif tag == _INPUTS:
                inputs.append(_read_tensor(message, start, end))
            elif tag == _OUTPUTS:
                outputs.append(_read_output(message, start, end))
            elif tag == _PARAMETERS:
                parameters.update(read_parameter(message, start, end))
            elif tag in _TEXTS:
                self[_TEXTS[tag]] = text(message, start, end)
        _check(inputs, raw)
        _refuse_shared_memory([*(tensor.document for tensor in inputs), *outputs])
        self["inputs"] = [tensor.document for tensor in inputs]
        if parameters:
            self["parameters"] = parameters
        if outputs:
            self["outputs"] = outputs
        self.is_raw = bool(raw)
        self.tensors: list[Document] = []
        # All at once: the bytes may be gone when the handler is called.
        for tensor, contents in zip_longest(inputs, raw):
            if opens:
                self.tensors.append({**tensor.document, "data": _shaped(message, tensor, contents)})
            else:
                tensor.document["data"] = _elements(message, tensor, contents)


def _check(inputs: Sequence[_Tensor], raw: Sequence[Buffer]) -> None:
    """
    Compare what belongs together.

    :raises WireInvalid: it does not fit.
    """
    if raw and len(raw) != len(inputs):
        raise WireInvalid(f"raw_input_contents has {len(raw)} elements, inputs has {len(inputs)}.")
    for tensor in inputs:
        name = tensor.document["name"]
        if tensor.datatype not in ELEMENTS:
            raise WireInvalid(f"The input {name} has no datatype of the protocol.")
        if raw and tensor.contents is not None:
            raise WireInvalid(f"The input {name} has contents beside raw_input_contents.")
        if not raw and not ELEMENTS[tensor.datatype].contents:
            raise WireInvalid(f"The input {name} is {tensor.datatype}, which needs raw_input_contents.")


def _refuse_shared_memory(tensors: Sequence[Document]) -> None:
    """
    Refuse what Triton's clients may ask for: to read and write tensors in memory of their own.

    :raises WireInvalid: one is to lie there: it would be empty, or the client would not find it.
    """
    for tensor in tensors:
        if _SHARED_MEMORY in cast("Mapping[str, object]", tensor.get("parameters", {})):
            raise WireInvalid(
                f"The tensor {tensor['name']} is in shared memory, which is not served: send its data."
            )


def _shaped(data: Buffer, tensor: _Tensor, raw: Buffer | None) -> object:
    if not is_shape(tensor.shape) or len(tensor.shape) > MOST_DIMENSIONS:
        raise WireInvalid(f"The shape of the input {tensor.document['name']} is no list of sizes.")
    if raw is not None:
        return from_binary(tensor.datatype, memoryview(raw), tensor.shape)
    return reshape(_elements(data, tensor, None), tensor.shape, tensor.datatype == BYTES)


def _fills(shape: Sequence[int], count: int) -> bool:
    """Return whether so many elements fill a shape, however long that is."""
    shape = resolved(shape, count)
    if min(shape, default=1) <= 0:
        return min(shape) == 0 and count == 0
    product = 1
    for size in shape:
        product *= size
        if product > count:
            return False
    return product == count


def _elements(data: Buffer, tensor: _Tensor, raw: Buffer | None) -> list[object]:
    """Return the elements as JSON has them."""
    if raw is not None:
        elements = _raw_elements(tensor.datatype, memoryview(raw))
        if not _fills(tensor.shape, len(elements)):
            name, count = tensor.document["name"], len(elements)
            raise WireInvalid(f"The input {name} has {count} elements, which is not what its shape says.")
        return elements
    return list(_typed_elements(data, tensor.datatype, tensor.contents or (0, 0)))


def _read_tensor(data: Buffer, start: int, end: int) -> _Tensor:
    name = datatype = ""
    shape: list[int] = []
    parameters: Document = {}
    contents: tuple[int, int] | None = None
    for tag, at, stop in spans(data, start, end):
        if tag == _NAME:
            name = text(data, at, stop)
        elif tag == _VERSION:
            datatype = text(data, at, stop)
        elif tag in (0x18, 0x1A):
            shape += [signed(value) for value in _varints(data, at, stop)]
        elif tag == _PARAMETERS:
            parameters.update(read_parameter(data, at, stop))
        elif tag == _CONTENTS:
            contents = at, stop
    document: Document = {"name": name, "shape": shape, "datatype": datatype}
    if parameters:
        document["parameters"] = parameters
    return _Tensor(document, contents)


def _read_output(data: Buffer, start: int, end: int) -> Document:
    document: Document = {"name": ""}
    parameters: Document = {}
    for tag, at, stop in spans(data, start, end):
        if tag == _NAME:
            document["name"] = text(data, at, stop)
        elif tag == _OUTPUT_PARAMETERS:
            parameters.update(read_parameter(data, at, stop))
    return {**document, "parameters": parameters} if parameters else document


def _varints(data: Buffer, start: int, end: int) -> Iterator[int]:
    while start < end:
        value, start = read_varint(data, start, end)
        yield value


def _typed_elements(data: Buffer, datatype: str, contents: tuple[int, int]) -> Iterator[object]:
    """Yield the elements of ``InferTensorContents``; packed and single ones may be mixed."""
    field, code = ELEMENTS[datatype]
    for tag, start, end in spans(data, *contents):
        if tag >> 3 != field:
            continue
        if not code:
            yield b64encode(data[start:end]).decode()
        elif code in "fd":
            yield from _unpacked(code, data[start:end])
        elif code == "?":
            yield from map(bool, _varints(data, start, end))
        elif code.islower():
            yield from map(signed, _varints(data, start, end))
        else:
            yield from _varints(data, start, end)


def _raw_elements(datatype: str, raw: memoryview) -> list[object]:
    if datatype == BYTES:
        return [b64encode(element).decode() for element in byte_elements(raw)]
    values = _unpacked(ELEMENTS[datatype].code, raw)
    if datatype != BFLOAT:
        return list(values)
    # The upper half of a float of 32 bits.
    widened = struct.pack(f"<{len(values)}I", *(each << 16 for each in values))
    return list(struct.unpack(f"<{len(values)}f", widened))


def _unpacked(code: str, data: Buffer) -> Sequence[int]:
    count, rest = divmod(len(data), struct.calcsize(f"<{code}"))
    if rest:
        raise WireInvalid(f"{len(data)} bytes are no whole number of elements.")
    return struct.unpack(f"<{count}{code}", data)
