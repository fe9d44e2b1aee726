"""A handler in the test's own process: loaded, called and answered for as a worker does it, without one."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from modelserver.child.data.answers import ReplyRow, part_rows
from modelserver.child.data.decoder import PLAIN, Decoder
from modelserver.child.loading.loader import import_handler, initialize, prepare
from modelserver.child.loops.batch_in_hand import BatchInHand, show_ids
from modelserver.child.loops.calls import MORE_FOLLOWS, handler_call, last_rows
from modelserver.child.metrics import unowned
from modelserver.config.table import KEY
from modelserver.dialect_rules import DIALECTS, TORCHSERVE
from modelserver.interfaces import Dialect
from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.item_errors import read_error
from modelserver.protocol.load_request import LoadRequest
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.testing.model_folder import ModelFolder
from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest

MOST_BYTES = int(KEY["max_response_size"].default or 0)
"""Of an answer, unless a test says otherwise: the server's own default."""


class InProcessModel:
    """
    A loaded handler.

    :raises Exception: what its import or its ``initialize`` raised, as it is.
    """

    def __init__(self, request: LoadRequest) -> None:
        self.request = request
        module, function = import_handler(request.handler, request.folder)
        entry, self.context = initialize(request, module, function)
        plain = PLAIN if DIALECTS[request.dialect].tells_plain_fields else {}
        self._batch = BatchInHand(Decoder(request.decode_input_request, plain, version=request.version))
        self._call = handler_call(entry, self.context, last_rows(request.max_response_size))
        self._dialect: Dialect = TorchServe() if request.dialect == TORCHSERVE.name else MultiModelServer()
        self._parts: list[list[bytes]] = []
        self.context.send_parts = self._send_parts

    def predict(self, request: ModelRequest) -> ModelReply:
        """Have one request answered, as a batch by itself."""
        return self.predict_batch([request])[0]

    def predict_batch(self, requests: Sequence[ModelRequest]) -> list[ModelReply]:
        """
        Have requests answered by one call of the handler, in their order.

        What the handler raises is an answer, as it is for a client; the traceback goes to stderr.
        """
        batch = self._batch
        held = batch.hold([_item_of(request) for request in requests])
        self._parts = [[] for _ in held.data]
        self.context.begin(partial(show_ids, held.ids), batch.processors, held.repeated)
        rows = batch.with_refused(self._call(held.data, batch.processors) if held.data else [])
        parts = iter(self._parts)
        return [
            self._reply(row, next(parts) if refused is None else [])
            for row, refused in zip(rows, batch.refused, strict=True)
        ]

    def _send_parts(self, parts: Sequence[object]) -> None:
        for processor in self._batch.processors:
            processor.add_response_property(MORE_FOLLOWS, "true")
        rows = part_rows(parts, self._batch.processors, self.request.max_response_size)
        for sent, (_, answer) in zip(self._parts, rows, strict=True):
            sent.append(_bytes_of(answer))

    def _reply(self, row: ReplyRow, parts: list[bytes]) -> ModelReply:
        flags, answer = row
        if flags & frames.ERROR:
            told = self._dialect.failed(read_error(flags, _bytes_of(answer)))
            return ModelReply(told.code, told.body, {"content-type": "application/json"})
        body = _bytes_of(answer)
        if parts:
            parts = [*parts, body] if body else parts
        return ModelReply(answer.status, b"".join(parts) or body, _headers_of(answer.header_block), parts)


@contextmanager
def in_process(
    folder: ModelFolder,
    *,
    batch_size: int = 1,
    gpu_id: int | None = None,
    dialect: str = TORCHSERVE.name,
    envelope: str | None = None,
    config: Mapping[str, object] | None = None,
    max_response_size: int = MOST_BYTES,
) -> Iterator[InProcessModel]:
    """
    Load the handler of a model folder; the process is as it was at the end: folder, path, modules.

    :param config: goes before ``model-config.yaml``, key by key.
    """
    request = LoadRequest(
        name=folder.name,
        version=folder.manifest.model_version,
        folder=str(folder.path),
        handler=folder.handler,
        envelope=envelope or folder.manifest.envelope,
        manifest=dict(folder.manifest.raw),
        config={**folder.config, **(config or {})},
        batch_size=batch_size,
        mode="batches",
        gpu_id=gpu_id,
        worker="in-process",
        search_path=(),
        slot_size=0,
        dialect=dialect,
        decode_input_request=True,
        limit_max_image_pixels=True,
        max_response_size=max_response_size,
        metrics_config=None,
    )
    with _process_as_it_was(folder.path):
        prepare(request)
        yield InProcessModel(request)


@contextmanager
def _process_as_it_was(folder: Path) -> Iterator[None]:
    """Undo what loading changes; the archive's modules are forgotten: another test imports its own."""
    here, path, modules = os.getcwd(), list(sys.path), set(sys.modules)
    real = str(folder.resolve())
    try:
        yield
    finally:
        unowned.release()
        os.chdir(here)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and (file.startswith(f"{folder}{os.sep}") or os.path.realpath(file).startswith(real)):
                del sys.modules[name]


def _item_of(request: ModelRequest) -> frames.Item:
    block = "".join(f"{name}: {value}\r\n" for name, value in request.all_headers.items()).encode("latin-1")
    if not request.query:
        return frames.Item(uuid.uuid4().bytes, block, b"", request.body, 0)
    query = json.dumps({"query": list(request.query.items())}).encode()
    return frames.Item(uuid.uuid4().bytes, block, query, request.body, frames.QUERY)


def _bytes_of(answer: Answer) -> bytes:
    assert isinstance(answer.body, bytes | bytearray), "there is no shared memory here"
    return bytes(answer.body)


def _headers_of(block: bytes) -> dict[str, str]:
    _, *lines = block.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}
