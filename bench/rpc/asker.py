"""Asks a model over gRPC with grpcio's asyncio client, for open loads."""

from __future__ import annotations

import asyncio
import os

from attrs import define, field

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc

from bench.open_load import ANSWER_TIMEOUT, Refused
from bench.rpc.messages import SERVICE, prediction_of, request

CONNECTIONS = 4


@define(eq=False)
class RpcAsker:
    """Asks in turn on a few connections; each call has a deadline, as clients' calls have."""

    port: int
    model: str
    _channels: list[grpc.aio.Channel] = field(factory=list, init=False)
    _turn: int = field(default=0, init=False)

    async def ask(self, body: bytes) -> bytes:
        """The answer."""
        try:
            message: bytes = await self._begin(body)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise asyncio.TimeoutError from error
            first, _, _ = (error.details() or "").partition("\n")
            raise Refused(f"{error.code().name} {first[:100]}") from error
        return prediction_of(message)

    async def leave(self, body: bytes, part: float, wait: float) -> None:
        """Begin a call and cancel it, half of them before it was sent."""
        call = self._begin(body)
        if part >= 0.5:
            await asyncio.sleep(wait)
        call.cancel()

    async def close(self) -> None:
        """End the connections."""
        channels, self._channels = self._channels, []
        for channel in channels:
            await channel.close()

    def _begin(self, body: bytes) -> grpc.aio.UnaryUnaryCall:
        if not self._channels:
            # Channels to one address share a connection unless they differ in something.
            self._channels = [
                grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=[("bench.number", number)])
                for number in range(CONNECTIONS)
            ]
        self._turn += 1
        channel = self._channels[self._turn % CONNECTIONS]
        return channel.unary_unary(f"/{SERVICE}/Predictions")(
            request(self.model, body), timeout=ANSWER_TIMEOUT
        )
