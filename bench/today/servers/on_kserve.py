"""KServe's Python server: uvicorn with uvloop and httptools, the model in its process; raw bytes by V1."""

from __future__ import annotations

from kserve import Model, ModelServer

from bench.today.servers.work import Work, options

OPTIONS = options()


class Handler(Model):
    """The handler: a body that is no JSON comes, and leaves, as bytes."""

    def load(self) -> bool:
        """Load it."""
        self._work = Work(OPTIONS.handler)
        self.ready = True
        return True

    def predict(self, payload: bytes, headers: object = None) -> bytes:
        """Answer a request."""
        return self._work.one(payload)


if __name__ == "__main__":
    model = Handler("bench")
    model.load()
    ModelServer(http_port=OPTIONS.port).start([model])
