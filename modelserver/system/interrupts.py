"""How a program ends that is interrupted while it starts."""

from __future__ import annotations

import sys
from types import TracebackType


def end_quietly() -> None:
    """
    Have an interrupt (Ctrl-C) end this program without a traceback: by the signal, as Python ends it then.

    A hook that somebody else has set stays.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
