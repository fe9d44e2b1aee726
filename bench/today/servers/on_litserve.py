"""LitServe: FastAPI in front, a worker process behind queues of ZeroMQ (``fast_queue``); raw bytes."""

from typing import Annotated

import litserve
from fastapi import Body, Response

from bench.today.servers.work import Work, options

OPTIONS = options()
RAW = "application/octet-stream"


class Handler(litserve.LitAPI):
    """The handler, with bytes in and out."""

    def setup(self, device: str) -> None:
        """Load it in the worker."""
        self._work = Work(OPTIONS.handler)

    def decode_request(self, request: Annotated[bytes, Body(media_type=RAW)]) -> bytes:
        """Take a body as it is."""
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        """Take the bodies of a batch as they are."""
        return inputs

    def predict(self, x: bytes | list[bytes]) -> bytes | list[bytes]:
        """Answer a request, or a batch where there are batches."""
        return self._work.batch(x) if isinstance(x, list) else self._work.one(x)

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        """Give each its own."""
        return output

    def encode_response(self, output: bytes) -> Response:
        """Give an answer as it is."""
        return Response(output, media_type=RAW)


if __name__ == "__main__":
    api = Handler(max_batch_size=OPTIONS.batch_size, batch_timeout=OPTIONS.delay_ms / 1000)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=1, fast_queue=True, enable_shutdown_api=False
    )
    server.run(
        host="127.0.0.1",
        port=OPTIONS.port,
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        loop="uvloop",
        http="httptools",
        access_log=False,
    )
