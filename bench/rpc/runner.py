"""Runs the gRPC cases: every point on each server in turn, with REST on this server beside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import define, frozen

from bench.load import Figures, Load, LoadFailed
from bench.load import put as put_requests
from bench.rpc.cases import RpcCase
from bench.rpc.load import RpcLoad
from bench.rpc.load import put as put_calls
from bench.rpc.messages import framed, request
from bench.rpc.servers import has_grpcio, wait_for_rpc
from bench.runner import Plan, middle
from bench.servers import CHECKOUT, ModelServer
from bench.target import Deployment, Target, TargetFailed

REST = "modelserver, REST"
"""The name of this server in rows of its REST API, which is asked for the same with as many connections."""
CHECKS = 20
"""Answers that are compared before each point."""


@frozen
class RpcRow:
    """One server at one point of a case."""

    case: str
    target: str
    in_flight: int
    figures: Figures


@define
class RpcRunner:
    """
    Runs cases on servers that are started already.

    :param folder: for request bodies.
    :param say: told what is being done, one line at a time.
    :param client: of calls, or ``auto``.
    """

    targets: Sequence[Target]
    plan: Plan
    folder: Path
    say: Callable[[str], None]
    client: str = "auto"

    def warm_up(self, case: RpcCase, seconds: int) -> None:
        """Let each server compile its hot path: a case under load for so many seconds."""
        for target in self._deployed(case):
            self.say(f"warming up {target.name} for {seconds} s")
            self._call(target, case, max(case.in_flight), seconds)
            target.unregister(case.name)

    def run(self, case: RpcCase) -> Iterator[RpcRow]:
        """Measure a case; rows come as they are ready."""
        targets = self._deployed(case)
        try:
            for target in targets:
                self._call(target, case, case.in_flight[-1], self.plan.warm_seconds)
            for in_flight in case.in_flight:
                yield from self._measure(targets, case, in_flight)
        finally:
            for target in targets:
                target.unregister(case.name)

    def _deployed(self, case: RpcCase) -> list[Target]:
        """The servers that have registered the case's handler."""
        found = []
        for target in self.targets:
            try:
                target.register(Deployment(case.name, case.handler))
                wait_for_rpc(target)
            except TargetFailed as error:
                self.say(f"skipped: {error}")
                continue
            found.append(target)
        return found

    def _measure(self, targets: Sequence[Target], case: RpcCase, in_flight: int) -> Iterator[RpcRow]:
        self.say(f"{case.title}: {in_flight} calls in flight")
        found: dict[str, list[Figures]] = {}
        for target in targets:
            self._check(target, case)
        for _ in range(self.plan.rounds):
            for target in targets:
                figures = self._call(target, case, in_flight, self.plan.seconds)
                found.setdefault(target.name, []).append(figures)
                if isinstance(target, ModelServer) and case.method == "Predictions":
                    found.setdefault(REST, []).append(self._ask(target, case, in_flight))
        for name, figures_of in found.items():
            yield RpcRow(case.name, name, in_flight, middle(figures_of))

    def _call(self, target: Target, case: RpcCase, in_flight: int, seconds: int) -> Figures:
        path = self.folder / f"call-{case.name}"
        path.write_bytes(framed(request(case.name, case.input())))
        load = RpcLoad(target.rpc_port, case.method, path, in_flight, seconds, case.answer_bytes)
        return put_calls(load, target.tree, self.client)

    def _ask(self, target: Target, case: RpcCase, connections: int) -> Figures:
        path = self.folder / f"input-{case.name}"
        path.write_bytes(case.input())
        (message,) = case.answers or (case.input(),)
        load = Load(
            target.port, f"/predictions/{case.name}", path, connections, self.plan.seconds, len(message)
        )
        return put_requests(load, target.tree, self.plan.client)

    def _check(self, target: Target, case: RpcCase) -> None:
        """
        Compare some answers.

        :raises LoadFailed: one is wrong.
        """
        if not has_grpcio():
            return
        line = [sys.executable, "-m", "bench.rpc.checker", str(target.rpc_port), case.name, str(CHECKS)]
        ran = subprocess.run(line, capture_output=True, text=True, cwd=CHECKOUT, timeout=120, check=False)
        if ran.returncode:
            raise LoadFailed(f"the check of {target.name} failed: {ran.stderr.strip()}")
        told = json.loads(ran.stdout)
        if told["right"] != CHECKS:
            raise LoadFailed(f"{target.name} answers wrongly: {told['wrong']}")
