"""MLServer: uvicorn with the model in the same process; bytes travel as base64 in the JSON of V2."""

from __future__ import annotations

import os

from mlserver import MLModel
from mlserver.codecs import Base64Codec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.today.servers.work import Work


class Handler(MLModel):
    """The handler: the bodies of one request are a batch, which MLServer may have put together."""

    async def load(self) -> bool:
        """Load it."""
        self._work = Work(os.environ["BENCH_HANDLER"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the bodies."""
        bodies = Base64Codec.decode_input(payload.inputs[0])
        answers = Base64Codec.encode_output("y", self._work.batch(bodies))
        return InferenceResponse(model_name=self.name, outputs=[answers])
