"""Multi Model Server's Python API, as handlers import it."""

from mms.version import __version__

__all__ = ["__version__"]
