"""The engine of h2 keeps the contract."""

from __future__ import annotations

from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.http2 import EngineMaker
from tests.harness.http2_contract import Http2Contract, Http2LimitsContract


class H2EngineTests(Http2Contract):
    """Requests, answers, windows, ends."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return H2Engine


class H2EngineLimitsTests(Http2LimitsContract):
    """Limits."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return H2Engine
