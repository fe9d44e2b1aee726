"""The engine of ngh2 keeps the contract."""

from __future__ import annotations

from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from tests.harness.http2_contract import Http2Contract, Http2LimitsContract


class Ngh2EngineTests(Http2Contract):
    """Requests, answers, windows, ends."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return Ngh2Engine


class Ngh2EngineLimitsTests(Http2LimitsContract):
    """Limits."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return Ngh2Engine
