"""BentoML: uvicorn with the model in the same process; bytes travel as base64 in a string of JSON."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode

import bentoml

from bench.today.servers.work import Work

HANDLER, SIZE = os.environ["BENCH_HANDLER"], int(os.environ["BENCH_BATCH_SIZE"])


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"timeout": 60})
class Single:
    """The handler, one request at a time."""

    def __init__(self) -> None:
        self._work = Work(HANDLER)

    @bentoml.api(route="/predict")
    async def predict(self, text: str, /) -> str:
        """Answer a request."""
        return b64encode(self._work.one(b64decode(text))).decode()


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"timeout": 60})
class Batched:
    """The handler, by BentoML's adaptive batching."""

    def __init__(self) -> None:
        self._work = Work(HANDLER)

    @bentoml.api(
        route="/predict", batchable=True, max_batch_size=max(2, SIZE), max_latency_ms=60_000, batch_dim=0
    )
    def predict(self, texts: list[str]) -> list[str]:
        """Answer a batch."""
        return [
            b64encode(answer).decode() for answer in self._work.batch([b64decode(text) for text in texts])
        ]
