"""Ray Serve: a proxy and a replica, joined by gRPC; raw bytes of a Starlette request."""

from __future__ import annotations

import asyncio
import signal

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from bench.today.servers.work import Work, options

OPTIONS = options()
RAW = "application/octet-stream"
DEPLOYMENT = serve.deployment(num_replicas=1, max_ongoing_requests=1000, ray_actor_options={"num_cpus": 1})


class Single:
    """The handler, one request at a time."""

    def __init__(self, handler: str) -> None:
        self._work = Work(handler)

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        return Response(self._work.one(await request.body()), media_type=RAW)


class Batched:
    """The handler, by ``serve.batch``; it runs in a thread, so that the next batch can gather."""

    def __init__(self, handler: str, size: int, seconds: float) -> None:
        self._work = Work(handler)
        self._batch.set_max_batch_size(size)
        self._batch.set_batch_wait_timeout_s(seconds)

    @serve.batch
    async def _batch(self, bodies: list[bytes]) -> list[bytes]:
        return await asyncio.to_thread(self._work.batch, bodies)

    async def __call__(self, request: Request) -> Response:
        """Answer a request, with others."""
        return Response(await self._batch(await request.body()), media_type=RAW)


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": OPTIONS.port},
        logging_config={"enable_access_log": False},
    )
    if OPTIONS.batch_size > 1:
        application = DEPLOYMENT(Batched).bind(OPTIONS.handler, OPTIONS.batch_size, OPTIONS.delay_ms / 1000)
    else:
        application = DEPLOYMENT(Single).bind(OPTIONS.handler)
    serve.run(application, route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
