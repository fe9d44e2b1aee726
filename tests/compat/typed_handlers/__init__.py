"""Handlers that mypy --strict takes where modelserver is installed: ``.ci/run`` asks it."""
