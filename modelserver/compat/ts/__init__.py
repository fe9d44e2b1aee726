"""TorchServe's Python API, as handlers import it."""

from ts.version import __version__

__all__ = ["__version__"]
