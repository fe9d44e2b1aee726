"""
Asks a server with a real client, grpcio, and compares every message of every answer.

h2load counts bytes and knows nothing of gRPC's status; this says whether the answers are right.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc

from bench.rpc.cases import RPC_CASES, RpcCase
from bench.rpc.messages import SERVICE, request

SECONDS = 20.0
_NO_LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def check(port: int, case: RpcCase, calls: int) -> tuple[int, str]:
    """Make so many calls; returns how many were answered right, and what was wrong with the first other."""
    message, expected = request(case.name, case.input()), list(case.expected())
    right, wrong = 0, ""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=_NO_LIMITS) as channel:
        ask = channel.unary_stream(f"/{SERVICE}/{case.method}")
        for _ in range(calls):
            try:
                answers = list(ask(message, timeout=SECONDS))
            except grpc.RpcError as error:
                wrong = wrong or f"{error.code()}: {error.details()}"
                continue
            right += answers == expected
            if answers != expected:
                wrong = wrong or f"{len(answers)} messages, the first {answers[:1]!r:.80}"
    return right, wrong


def main() -> None:
    """``PORT CASE CALLS``."""
    case = next(each for each in RPC_CASES if each.name == sys.argv[2])
    right, wrong = check(int(sys.argv[1]), case, int(sys.argv[3]))
    print(json.dumps({"right": right, "wrong": wrong}))


if __name__ == "__main__":
    main()
