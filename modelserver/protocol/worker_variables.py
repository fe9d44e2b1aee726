"""Variables of the environment that workers read, for those who write handlers (``modelserver dev``)."""

LOCALS = "MODELSERVER_TRACEBACK_LOCALS"
"""``1``: tracebacks of handlers show their code, and what its variables hold."""
TERMINAL = "MODELSERVER_TERMINAL"
"""Names the terminal that a worker is to have, for ``breakpoint()``."""
