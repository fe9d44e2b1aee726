"""The version whose archives ours equal."""

from modelserver.archive.pack_workflow import WORKFLOW_ARCHIVER_VERSION as __version__

__all__ = ["__version__"]
