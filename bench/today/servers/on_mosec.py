"""mosec: a front in Rust, workers in Python; raw bytes by its own ``deserialize`` and ``serialize``."""

from __future__ import annotations

from mosec import Server, Worker

from bench.today.servers.work import Work, options

OPTIONS = options()


class Handler(Worker):
    """The handler, with bytes in and out."""

    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        self._work = Work(OPTIONS.handler)

    def deserialize(self, data: bytes) -> bytes:
        """Take a body as it is."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """Give an answer as it is."""
        return data

    def forward(self, data: bytes | list[bytes]) -> bytes | list[bytes]:
        """Answer a request, or a batch where there are batches."""
        return self._work.batch(data) if isinstance(data, list) else self._work.one(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(
        Handler,
        num=1,
        max_batch_size=OPTIONS.batch_size,
        max_wait_time=OPTIONS.delay_ms,
        start_method="spawn",
    )
    server.run()
