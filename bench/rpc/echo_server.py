"""
A bare grpc.aio server, for comparison: it answers at once, without a model, a worker or a log.

``Predictions`` sends a large input back, and answers ``OK`` to others; ``StreamPredictions`` sends the parts
of the bench's stream. Nothing is parsed: an input of the bench's sizes is the end of its request.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator

# Set before the import: this process forks nothing.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc

from bench.rpc.cases import PART, PARTS, RPC_CASES
from bench.rpc.messages import SERVICE, answer

SIZES = sorted((case.body for case in RPC_CASES if case.answers is None), reverse=True)
"""Of the inputs that are sent back."""
_OK, _PART = answer(b"OK"), answer(PART)


async def predict(request: bytes, context: object) -> bytes:
    """Answer with a constant, or with the input."""
    for size in SIZES:
        if len(request) > size:
            return answer(request[-size:])
    return _OK


async def stream(request: bytes, context: object) -> AsyncIterator[bytes]:
    """Send every part."""
    for _ in range(PARTS):
        yield _PART


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handlers = {
        "Predictions": grpc.unary_unary_rpc_method_handler(predict),
        "StreamPredictions": grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
