"""Where calls that are over are written down: the access log and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import field

from modelserver.interfaces import AccessRecorder, Recorder
from modelserver.language.attributes import define
from modelserver.rpc.codes import Code
from modelserver.rpc.interfaces import Call
from modelserver.system.bounded_cache import Memo

PROTOCOL = "HTTP/2.0"
MOST_PATHS, LONGEST_PATH = 1024, 512
"""Paths that are remembered as they are shown."""
# An attribute of an Enum's member costs as much as a call.
_NAMES = tuple(code.name for code in Code)


@define(eq=False)
class CallLog:
    """
    Notes calls as TorchServe does: ``"gRPC <package.Service>/<Method> HTTP/2.0" <code> <ms>``.

    It notes all calls; TorchServe leaves out those that it refuses.

    :param trace_id: returns the id of the present call's trace, or nothing.
    :param methods: the paths that there are; calls of others are counted together, under an empty name.
    """

    access_log: AccessRecorder
    recorder: Recorder
    methods: Iterable[str]
    trace_id: Callable[[], str] = str
    _counted: dict[str, str] = field(init=False)
    _shown: Memo[str, tuple[str, str, str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counted = {path: path.removeprefix("/") for path in self.methods}
        self._shown = Memo(_as_asked, MOST_PATHS, LONGEST_PATH)

    def ended(self, call: Call, code: Code, seconds: float, received: int, sent: int) -> None:
        """Note a call that is over, with its bytes of messages either way."""
        method = call.method
        asked, trace_id = self._shown[method], self.trace_id()
        self.access_log.record(call.peer, asked, int(code), seconds * 1000, call.request_id, trace_id)
        self.recorder.call_ended(self._counted.get(method, ""), _NAMES[code], seconds, received, sent)


def _as_asked(path: str) -> tuple[str, str, str]:
    return "gRPC", path.removeprefix("/"), PROTOCOL
