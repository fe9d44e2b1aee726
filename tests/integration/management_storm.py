"""
A storm of management calls on a real server, and the question whether some order of them explains the end.

Many callers register, scale, choose defaults, describe and unregister versions of a few names at the same
time. Afterwards every call has been answered, each version is there or not as the calls say, and when all is
unregistered no process and no folder is left::

    python -m tests.integration.management_storm --seconds 60 --callers 200
"""

from __future__ import annotations

import argparse
import http.client
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field, frozen

from modelserver.archive.pack import PackRequest, pack
from tests.harness.server_process import HOST, LONGEST, ServerProcess, eventually

NAMES = ("ada", "bell", "curie", "dirac", "euler")
VERSIONS = ("1.0", "2.0")
HANDLER = "def handle(data, context):\n    return None if data is None else ['ok'] * len(data)\n"
OPEN = {"enable_model_api": "true", "disable_token_authorization": "true"}
EXPECTED = {
    "register": {200, 202, 409},
    "scale": {200, 202, 404},
    "set_default": {200, 404},
    "unregister": {200, 403, 404},
    "describe": {200, 404},
}
_WEIGHTS = {"register": 6, "scale": 5, "set_default": 2, "unregister": 5, "describe": 2}


@frozen
class Call:
    """
    One call and its answer.

    :param workers: how many it asked for.
    :param status: of the answer; 0 where none came.
    """

    kind: str
    name: str
    version: str
    begun: float
    ended: float
    status: int
    text: str
    workers: int = 0

    @property
    def worked(self) -> bool:
        """Whether it changed something, by its answer."""
        return 200 <= self.status < 300


@frozen
class Wish:
    """A call that is to be made."""

    kind: str
    name: str
    version: str
    method: str
    path: str
    workers: int = 0


def wish(chance: random.Random) -> Wish:
    """Any call."""
    (kind,) = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
    name, version = chance.choice(NAMES), chance.choice(VERSIONS)
    workers, waits = chance.choice((0, 0, 1, 2)), chance.choice(("true", "false"))
    path = f"/models/{name}/{version}"
    if kind == "register":
        query = f"url={name}-{version}.mar&initial_workers={workers}&synchronous={waits}"
        return Wish(kind, name, version, "POST", f"/models?{query}", workers)
    if kind == "scale":
        query = f"min_worker={workers}&synchronous={waits}&timeout={chance.choice((-1, 0, 1))}"
        return Wish(kind, name, version, "PUT", f"{path}?{query}", workers)
    if kind == "set_default":
        return Wish(kind, name, version, "PUT", f"{path}/set-default")
    return Wish(kind, name, version, "DELETE" if kind == "unregister" else "GET", path)


@define(eq=False)
class Storm:
    """
    The callers; each makes one call after the other on a connection of its own.

    :param seconds: after which no call begins.
    """

    server: ServerProcess
    seconds: float
    callers: int
    seed: int = 0
    calls: list[Call] = field(factory=list, init=False)

    def blow(self) -> None:
        """Make all calls, and wait for the answers."""
        latest = time.monotonic() + self.seconds
        threads = [
            threading.Thread(target=self._call_on, args=(random.Random(self.seed * 10_000 + number), latest))
            for number in range(self.callers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _call_on(self, chance: random.Random, latest: float) -> None:
        while time.monotonic() < latest:
            self.calls.append(self._call(wish(chance)))

    def _call(self, wanted: Wish) -> Call:
        begun = time.monotonic()
        connection = http.client.HTTPConnection(HOST, self.server.ports[1], timeout=2 * LONGEST)
        try:
            connection.request(wanted.method, wanted.path)
            response = connection.getresponse()
            status, text = response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            status, text = 0, repr(error)
        finally:
            connection.close()
        ended = time.monotonic()
        return Call(wanted.kind, wanted.name, wanted.version, begun, ended, status, text, wanted.workers)


def unexpected(calls: Iterable[Call]) -> list[str]:
    """Calls without an answer, and answers that a storm does not explain."""
    return [
        f"{call.kind} {call.name} {call.version}: {call.status} {call.text}"
        for call in calls
        if call.status not in EXPECTED[call.kind]
    ]


def alternates(calls: Iterable[Call]) -> bool:
    """
    Whether one moment within each call can be found so that registrations and unregistrations take turns.

    The call that must be over first goes first: if any choice works, this one does.
    """
    waiting = {
        kind: [call for call in calls if call.kind == kind and call.worked]
        for kind in ("register", "unregister")
    }
    now, turn, other = 0.0, "register", "unregister"
    while waiting[turn] or waiting[other]:
        if not waiting[turn]:
            return False
        now = max(now, min(call.begun for call in waiting[turn]))
        first = min((call for call in waiting[turn] if call.begun <= now), key=lambda call: call.ended)
        if first.ended < now:
            return False
        waiting[turn].remove(first)
        turn, other = other, turn
    return True


def last_of(calls: Sequence[Call]) -> list[Call]:
    """Those that some order puts last: no other began after they had ended."""
    return [call for call in calls if not any(other.begun > call.ended for other in calls)]


def unexplained(
    calls: Sequence[Call], state: dict[str, dict[str, Any]], defaults: dict[str, str]
) -> list[str]:
    """
    What no order of the calls explains.

    :param state: the descriptions of all versions at the end, by name and version.
    :param defaults: the default version of each name.
    """
    wrong = []
    for name in NAMES:
        present = state.get(name, {})
        if (name in defaults) != bool(present) or (present and defaults[name] not in present):
            wrong.append(f"{name}: default {defaults.get(name)} of {sorted(present)}")
        for version in VERSIONS:
            those = [call for call in calls if (call.name, call.version) == (name, version) and call.worked]
            count = Counter(call.kind for call in those)
            if count["register"] - count["unregister"] != (version in present):
                wrong.append(f"{name} {version}: {dict(count)}, and it is there: {version in present}")
            if not alternates(those):
                wrong.append(f"{name} {version}: registrations and unregistrations do not take turns")
            if version in present:
                sizes = {
                    call.workers for call in last_of([c for c in those if c.kind in ("register", "scale")])
                }
                if present[version]["minWorkers"] not in sizes:
                    wrong.append(f"{name} {version}: {present[version]['minWorkers']} workers of {sizes}")
        wrong += _unexplained_default(name, calls, present, defaults)
    return wrong


def _unexplained_default(
    name: str, calls: Sequence[Call], present: dict[str, Any], defaults: dict[str, str]
) -> list[str]:
    """While both versions stay, the last choice holds, and registrations choose only where nothing was."""
    if len(present) < len(VERSIONS):
        return []
    those = [call for call in calls if call.name == name and call.worked]
    chosen = last_of([call for call in those if call.kind in ("set_default", "register", "unregister")])
    if all(call.kind == "set_default" for call in chosen):
        wanted = {call.version for call in chosen}
        if defaults[name] not in wanted:
            return [f"{name}: the default is {defaults[name]}, the last choice was {wanted}"]
    return []


def look(server: ServerProcess) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """All versions as described, and the default ones."""
    state: dict[str, dict[str, Any]] = {}
    defaults: dict[str, str] = {}
    for row in server.management("GET", "/models").json()["models"]:
        name = row["modelName"]
        versions = server.management("GET", f"/models/{name}/all").json()
        state[name] = {version["modelVersion"]: version for version in versions}
        defaults[name] = server.management("GET", f"/models/{name}").json()[0]["modelVersion"]
    return state, defaults


def is_settled(server: ServerProcess) -> bool:
    """Whether every version has the workers that it should have, all ready."""
    return all(
        [worker["status"] for worker in version["workers"]] == ["READY"] * version["minWorkers"]
        for versions in look(server)[0].values()
        for version in versions.values()
    )


def strays(server: ServerProcess) -> list[int]:
    """Processes below the server that no version has, neither as a worker nor as its template."""
    state, _ = look(server)
    versions = [version for model in state.values() for version in model.values()]
    known = {worker["pid"] for version in versions for worker in version["workers"]}
    known |= {version["template"]["pid"] for version in versions if "template" in version}
    return [pid for pid in server.children() if pid not in known]


def unregister_all(server: ServerProcess) -> list[str]:
    """Unregister everything, the defaults at the end; returns what was refused."""
    refused = []
    state, defaults = look(server)
    for name, versions in state.items():
        for version in sorted(versions, key=lambda version: version == defaults[name]):
            answer = server.management("DELETE", f"/models/{name}/{version}")
            if answer.status != 200:
                refused.append(answer.text)
    return refused


def leftovers(server: ServerProcess) -> list[str]:
    """Folders of models that nobody serves, and files in the store that nobody put there."""
    folders = [str(path) for path in server.temporary.glob("*/*")]
    ours = {f"{name}-{version}.mar" for name in NAMES for version in VERSIONS}
    return folders + [path.name for path in server.store.iterdir() if path.name not in ours]


def prepare(server: ServerProcess) -> None:
    """Put an archive of every version of every name into the store."""
    handler = server.folder / "storm_handler.py"
    handler.write_text(HANDLER)
    server.store.mkdir(exist_ok=True)
    for name in NAMES:
        for version in VERSIONS:
            path = pack(
                PackRequest(name, version=version, handler=str(handler), export_path=server.store, force=True)
            )
            path.rename(server.store / f"{name}-{version}.mar")


def run(server: ServerProcess, seconds: float, callers: int, seed: int = 0) -> tuple[list[str], list[Call]]:
    """
    A storm on a server that runs and was prepared.

    :return: what is wrong, and every call.
    """
    storm = Storm(server, seconds, callers, seed)
    storm.blow()
    wrong = unexpected(storm.calls)
    if never(lambda: is_settled(server)):
        wrong.append(f"some version does not have its workers: {look(server)[0]}")
    if never(lambda: not strays(server)):
        wrong.append(f"nobody has the processes {strays(server)}")
    state, defaults = look(server)
    wrong += unexplained(storm.calls, state, defaults)
    if state and not leftovers(server):
        wrong.append("the folders of models are not where they are looked for")
    wrong += unregister_all(server)
    if never(lambda: not server.children()):
        wrong.append(f"processes are left: {server.children()}")
    if never(lambda: not leftovers(server)):
        wrong.append(f"files are left: {leftovers(server)}")
    return wrong, storm.calls


def never(look: Callable[[], bool]) -> bool:
    """Whether something does not come true, however long one waits."""
    try:
        return not eventually(look, 2 * LONGEST)
    except AssertionError:
        return True


def main(arguments: Sequence[str]) -> int:
    """Run a storm of the command line's strength, and say what it did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--callers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker-start", choices=("auto", "spawn", "template"), default="auto")
    options = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="modelserver-storm-") as folder:
        server = ServerProcess(Path(folder), {**OPEN, "worker_start": options.worker_start})
        prepare(server)
        server.start()
        try:
            wrong, calls = run(server, options.seconds, options.callers, options.seed)
        finally:
            server.end()
        traced = [number for number, line in enumerate(server.lines) if "Traceback" in line]
    for (kind, status), count in sorted(Counter((call.kind, call.status) for call in calls).items()):
        print(f"{kind:12} {status:4} {count:7}")
    slowest = max(calls, key=lambda call: call.ended - call.begun)
    print(f"{len(calls)} calls, the slowest ({slowest.kind}) took {slowest.ended - slowest.begun:.1f} s")
    if traced:
        first = "".join(server.lines[max(0, traced[0] - 3) : traced[0] + 40])
        wrong.append(f"{len(traced)} tracebacks in the log, the first one is:\n{first}")
    for text in wrong:
        print(f"WRONG: {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
