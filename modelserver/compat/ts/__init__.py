"""TorchServe's Python API, as handlers import it."""

from ts.version import __version__

from modelserver.compat.borrowed import borrowed

__all__ = ["__version__"]

__getattr__ = borrowed(__name__)
