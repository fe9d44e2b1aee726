"""Ray Serve with its own autoscaling, of one to four replicas; how many run stands in a file ``replicas``."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from bench.today.servers.work import Work, options

OPTIONS = options()


class Elastic:
    """The handler, one request at a time: it keeps the replica's loop, as computing would."""

    def __init__(self, handler: str) -> None:
        self._work = Work(handler)

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        return Response(self._work.one(await request.body()), media_type="application/octet-stream")


DEPLOYMENT = serve.deployment(
    autoscaling_config={"min_replicas": 1, "max_replicas": 4}, ray_actor_options={"num_cpus": 1}
)


def running() -> int:
    """Return how many replicas run."""
    for application in serve.status().applications.values():
        for deployment in application.deployments.values():
            return int(deployment.replica_states.get("RUNNING", 0))
    return 0


if __name__ == "__main__":
    # Ray's processors are counted, not measured: there must be enough of them for four replicas.
    ray.init(num_cpus=8, include_dashboard=False, configure_logging=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": OPTIONS.port}, logging_config={"enable_access_log": False}
    )
    serve.run(DEPLOYMENT(Elastic).bind(OPTIONS.handler), route_prefix="/")
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while not ended:
        Path("replicas.new").write_text(str(running()))
        Path("replicas.new").replace("replicas")
        time.sleep(0.1)
    ray.shutdown()
