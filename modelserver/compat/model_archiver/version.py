"""The version whose archives ours equal."""

from modelserver.archive.pack import ARCHIVER_VERSION as __version__

__all__ = ["__version__"]
